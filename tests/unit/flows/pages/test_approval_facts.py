"""What the approval page tells is gathered from the ledger, the registry and what judging kept."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from flows.loop.reconcile import reconcile
from flows.loop.rejudge import judge_again
from flows.loop.turn import run_turn
from flows.pages.approval_facts import entries_about, gather_page, newest_entry_about
from maskloop.folding.fold import fold
from maskloop.folding.history import recall_version
from maskloop.records.kinds import ChampionChanged, VerdictReached
from registry.evidence.approval_page import ApprovalPage
from tests.fakes.histories import ledgers
from tests.fakes.ledger import FakeLedger
from tests.fakes.loop_world import World
from tests.unit.flows.pages.test_evidence_pack import edit_settings, with_champion


def page_about(world: World, cycle: str) -> ApprovalPage:
    whole = world.state
    candidate = whole.cycles[cycle].candidate
    state = recall_version(world.ledger, whole, candidate.version if candidate else "")
    verdict = state.cycles[cycle].verdict
    assert verdict is not None
    return gather_page(
        world.ledger, world.tracker, world.workspace, state.cycles[cycle], verdict, state, rollout=None
    )


def origins_of(page: ApprovalPage) -> dict[str, tuple[str, str]]:
    return {origin.what: (origin.sentence, origin.identity) for origin in page.origins}


# --- which entries -----------------------------------------------------------------------------------


@given(ledger=ledgers)
def test_the_newest_entry_about_a_cycle_is_the_last_of_its_entries(ledger: FakeLedger) -> None:
    state = fold(ledger.entries())
    for cycle in state.cycles.values():
        about = [entry.sequence for entry in entries_about(ledger, cycle, state)]
        assert about == sorted(set(about))
        assert about[-1] == newest_entry_about(ledger, cycle, state)


def test_the_history_of_a_version_goes_on_where_another_cycle_replaces_it(world: World) -> None:
    with_champion(world)
    world.tag_version("2", "approved", by="anna")
    reconcile(world.app())
    state = world.state
    about = entries_about(world.ledger, state.cycles["cycle-1"], state)
    elsewhere = [entry for entry in about if entry.cycle_id != "cycle-1"]

    assert [entry.cycle_id for entry in about[:2]] == ["cycle-1", "cycle-1"]
    assert ChampionChanged.kind in [entry.kind for entry in elsewhere]
    assert {entry.cycle_id for entry in elsewhere} == {"cycle-2"}


def test_a_version_judged_again_shows_the_cycle_that_made_it_too(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    edit_settings(world, "min_instances = 2", "min_instances = 3")
    again = judge_again(world.app(), version="1")
    page = page_about(world, again.id)

    assert again.opened.rejudges == "cycle-1"
    assert {entry.cycle_id for entry in entries_about(world.ledger, again, world.state)} == {
        "cycle-1",
        again.id,
    }
    verdicts = [verdict.sentence() for verdict in world.of_kind(VerdictReached)]
    told = [line for line in page.history if line.sentence in verdicts]
    assert len(told) == 2
    assert page.judged == told[1], "the newer one"


# --- what it was made of -----------------------------------------------------------------------------


def test_a_first_model_starts_from_first_weights_and_has_no_champion(world: World) -> None:
    run_turn(world.app(), starts_from="first-weights")
    page = page_about(world, "cycle-1")
    candidate = world.state.cycles["cycle-1"].candidate
    assert candidate is not None

    origins = origins_of(page)
    assert list(origins) == ["Weights", "Data", "Starts from", "Code", "Settings", "Trained on"]
    assert origins["Weights"][1] == candidate.weights_digest
    assert origins["Data"] == ("data-v1: 12 new pictures from belt; 12 in all", candidate.data_fingerprint)
    assert origins["Starts from"] == ("first weights, no other version", "")
    assert origins["Code"] == ("of maskloop", "0" * 40)
    assert origins["Trained on"] == ("cpu", f"run {candidate.run_id}")
    assert (page.champion_version, page.drift, page.rollout) == ("", None, None)
    assert page.gate_changes == ()
    assert page.data_came == (origins["Data"][0],), "all data are new to it"


def test_a_retrained_model_starts_from_the_champion(world: World) -> None:
    with_champion(world)
    champion = world.state.cycles["cycle-1"].candidate
    assert champion is not None
    page = page_about(world, "cycle-2")

    assert origins_of(page)["Starts from"] == ("version 1, trained on", champion.weights_digest)
    assert page.champion_version == "1"
    assert page.decisions == (), "it still waits for its own"


def test_a_distilled_model_names_its_teacher(world: World) -> None:
    world.tag_version(run_first(world), "approved", by="anna")
    reconcile(world.app())
    run_turn(world.app(), starts_from="first-weights", is_taught=True)
    origins = origins_of(page_about(world, "cycle-2"))

    assert origins["Starts from"][0] == "first weights, no other version"
    assert origins["Learns from"][0] == "version 1, beside the labels"


def run_first(world: World) -> str:
    candidate = run_turn(world.app(), starts_from="first-weights").candidate
    assert candidate is not None
    return candidate.version


def test_weights_of_another_ledger_and_uncommitted_code_are_named_as_such(world: World) -> None:
    run_first(world)
    state = world.state
    cycle = state.cycles["cycle-1"]
    assert cycle.training is not None
    assert cycle.verdict is not None
    changed = cycle.training.model_copy(update={"parent_digest": "f" * 64, "code_revision": "abc-dirty"})
    edited = replace(cycle, training=changed)
    page = gather_page(
        world.ledger, world.tracker, world.workspace, edited, cycle.verdict, state, rollout=None
    )

    origins = origins_of(page)
    assert origins["Starts from"] == ("weights this ledger does not know, trained on", "f" * 64)
    assert origins["Code"] == ("of maskloop, with changes that were not committed", "abc-dirty")


def test_the_data_that_came_since_the_champions_is_told_in_words(world: World) -> None:
    world.tag_version(run_first(world), "approved", by="anna")
    reconcile(world.app())
    world.label(range(12, 24))
    run_turn(world.app(), starts_from="champion")
    page = page_about(world, "cycle-2")

    assert page.data_came == ("data-v2: 12 new pictures from belt; 24 in all",)
    assert origins_of(page)["Data"][0] == page.data_came[0]


# --- gates, four eyes and what is gone -----------------------------------------------------------------


def test_gates_that_were_edited_since_the_verdict_are_named(world: World) -> None:
    run_first(world)
    before = page_about(world, "cycle-1")
    edit_settings(world, "min_instances = 2", "min_instances = 1")
    after = page_about(world, "cycle-1")

    assert before.gate_changes == ()
    assert after.gate_changes
    assert before.policy_now == before.verdict.policy_digest != after.policy_now


def test_without_the_evidence_nothing_is_said_about_the_gates(world: World) -> None:
    version = run_first(world)
    for file in world.workspace.verdict_dir(version).iterdir():
        file.unlink()
    for run in world.tracker.runs.values():
        run.files.clear()
    page = page_about(world, "cycle-1")
    assert (page.evidence, page.gate_changes, page.policy_now) == (None, None, "")


def test_four_eyes_name_who_asked_for_the_training(world: World) -> None:
    run_turn(world.app(actor="otto"), starts_from="first-weights")
    assert page_about(world, "cycle-1").four_eyes_against == ""
    edit_settings(world, "[gates]", "[approval]\nfour_eyes = true\n\n[gates]")
    assert page_about(world, "cycle-1").four_eyes_against == "otto"


def test_the_page_links_the_run_of_the_training(world: World) -> None:
    run_first(world)
    candidate = world.state.cycles["cycle-1"].candidate
    assert candidate is not None
    page = page_about(world, "cycle-1")
    assert page.run_url == world.tracker.url(candidate.run_id)
    assert page.model_name == world.app().settings.model_name
