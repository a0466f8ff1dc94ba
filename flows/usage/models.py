"""What `maskloop train`, `retrain`, `distil`, `tune`, `judge`, `export` and `benchmark` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import make_command
from flows.console.parameters import by


def _workers() -> click.Option:
    return click.Option(
        ["--workers"],
        type=click.IntRange(1),
        help="Processes that train together, on Ray. Default: as [training.cluster] says.",
    )


TRAIN: Final = make_command(
    "train",
    "flows.command.models:train",
    "Train a model on the newest data, judge it, ask for approval.",
    by("asks for it"),
    _workers(),
)

RETRAIN: Final = make_command(
    "retrain",
    "flows.command.models:retrain",
    "Train on from the champion with old and new pictures, and judge.",
    by("asks for it"),
    _workers(),
)

DISTIL: Final = make_command(
    "distil",
    "flows.command.models:distil",
    """Train a new network taught by labels and champion, and judge.

It starts from first weights. For a faster network than the champion: make [model] in maskloop.toml
smaller first.
""",
    by("asks for it"),
    _workers(),
)

TUNE: Final = make_command(
    "tune",
    "flows.command.tuning:tune",
    """Search for better training settings, for some hours.

Trials are compared by the mean mask IoU on the validation pictures, which no gate uses; the worse ones end
early. Earlier trainings and searches on the same data count. The best settings are shown as a difference to
maskloop.toml. A search that was killed goes on when the same command is given again, with what is left of its
hours; more --hours continue it. Needs the extra `cluster`.
""",
    click.Option(
        ["--hours"],
        type=click.FloatRange(0, min_open=True),
        help="Of the whole search, over all its runs. Default: tune.hours.",
    ),
    click.Option(
        ["--trials"], type=click.IntRange(0), help="The most trials; 0: no limit. Default: tune.max_trials."
    ),
    click.Option(
        ["--concurrent"],
        type=click.IntRange(1),
        help="Trials at a time. Default: tune.concurrent_trials, or one for each GPU.",
    ),
    click.Option(
        ["--vary"],
        multiple=True,
        metavar="TOML",
        help="A setting to search, such as 'training.weight_decay = {low = 1e-6, high = 1e-2, log = true}'. "
        "Can be repeated. Default: tune.space.",
    ),
    click.Option(["--apply"], is_flag=True, help="Write the best settings into maskloop.toml."),
)

JUDGE: Final = make_command(
    "judge",
    "flows.command.models:judge",
    """Judge VERSION again under the present gates, without training.

For a gate that was set wrongly: change [gates] in maskloop.toml first. The verdicts so far stay in the
record. Ends with 1 if the gates fail the version.
""",
    click.Argument(["version"]),
    by("asks for it"),
)

EXPORT: Final = make_command(
    "export",
    "flows.command.models:export",
    """Export VERSION to a faster format that answers as it does.

Default: the champion. An export that answers differently is not attached.

With --bundle it also becomes a zip for a device at the edge: model, a small server without torch, and a
rule by which uncertain pictures go to the cloud service.
""",
    click.Argument(["version"], required=False, default=""),
    click.Option(
        ["--format", "wanted"],
        type=click.Choice(["openvino", "openvino-int8", "onnx"]),
        default="openvino",
        show_default=True,
        help="For a CPU; int8 finds 8-bit ranges in validation pictures.",
    ),
    click.Option(
        ["--bundle"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.zip",
        help="Make a zip for a device at the edge. The version must be approved.",
    ),
    click.Option(
        ["--cloud-share"],
        type=click.FloatRange(0.0, 1.0),
        default=0.1,
        show_default=True,
        help="Of a bundle's pictures that may go to the cloud service; 0 never asks it.",
    ),
    click.Option(
        ["--cloud-version"],
        default="",
        help="What answers there, to measure what that is worth. Default: the champion.",
    ),
)

BENCHMARK: Final = make_command(
    "benchmark",
    "flows.command.models:benchmark",
    """Time MODEL and every export there is of it.

MODEL is a version or a folder; default: the champion.
""",
    click.Argument(["model"], required=False, default=""),
    click.Option(
        ["--images"],
        type=click.Path(path_type=Path, exists=True),
        help="Pictures to answer. Default: test pictures of the model's data.",
    ),
    click.Option(
        ["--rounds"],
        type=click.IntRange(1),
        default=20,
        show_default=True,
        help="Timed calls of each batch size.",
    ),
)
