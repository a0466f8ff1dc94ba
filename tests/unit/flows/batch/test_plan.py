"""Every picture and every tile is in exactly one shard, in order, and no stretch leaves its row of tiles."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.batch.plan import Scene, Shard, Stretch, plan_shards

scenes = st.builds(
    lambda height, width, tile, share: Scene(height, width, tile, int(tile * share)),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(8, 80),
    st.floats(0, 0.9),
)
inputs = st.lists(st.none() | scenes, max_size=12)


def test_a_plan_by_hand() -> None:
    scene = Scene(10, 30, tile_px=10, overlap_px=0)
    shards = plan_shards([("a", None), ("b", None), ("c", scene), ("d", None)], units_per_shard=2)

    assert [*shards] == [
        Shard(0, (Stretch("a"), Stretch("b"))),
        Shard(1, (Stretch("c", scene, 0, 2),)),
        Shard(2, (Stretch("c", scene, 2, 1), Stretch("d"))),
    ]


@settings(max_examples=100, deadline=None)
@given(pictures=inputs, size=st.integers(1, 9))
def test_every_picture_and_tile_is_planned_once_in_order_and_no_shard_is_larger_than_asked(
    pictures: list[Scene | None], size: int
) -> None:
    named = [(f"picture {number}", scene) for number, scene in enumerate(pictures)]
    shards = [*plan_shards(named, units_per_shard=size)]
    units = [
        (unit.name, unit.first_tile) for shard in shards for one in shard.stretches for unit in one.units()
    ]
    wanted = [(name, tile) for name, scene in named for tile in range(scene.grid.num_tiles if scene else 1)]

    assert units == wanted
    assert [shard.number for shard in shards] == [*range(len(shards))]
    assert all(1 <= shard.num_units <= size for shard in shards)


@settings(max_examples=50, deadline=None)
@given(scene=scenes, size=st.integers(1, 9))
def test_the_tiles_of_a_stretch_are_neighbours_in_one_row(scene: Scene, size: int) -> None:
    for shard in plan_shards([("scene", scene)], units_per_shard=size):
        for stretch in shard.stretches:
            assert len({tile.top_px for tile in stretch.tiles()}) == 1


def test_very_large_tiles_are_read_one_by_one() -> None:
    scene = Scene(5000, 15_000, tile_px=5000, overlap_px=0)

    assert [
        one.num_tiles for shard in plan_shards([("a", scene)], units_per_shard=16) for one in shard.stretches
    ] == [
        1,
        1,
        1,
    ]
