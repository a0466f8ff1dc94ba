"""What `maskloop serve`, `engines`, `keys`, `predict`, `batch` and `video` take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from flows.console.command_line import CommandGroup, make_command

SERVE: Final = make_command(
    "serve",
    "flows.command.serving:serve",
    """Answer pictures over HTTP with the champion until Ctrl-C.

The champions of other workspaces answer too, each below its name: `--model weeds=../weeds` at
/v1/models/weeds/predict. Where a request names no model, this workspace's answers. /v1/models lists them.
""",
    click.Option(
        ["--model", "models"],
        multiple=True,
        metavar="NAME=WORKSPACE",
        help="Answer with the champion of this workspace too; repeat it for more. Beside serving.models.",
    ),
    click.Option(
        ["--memory-mib"],
        type=click.FloatRange(0),
        help="What models may take together; 0: any. Those used longest ago make room. Default: "
        "serving.memory_mib.",
    ),
    click.Option(["--host"], help="Address to listen on. Default: serving.host."),
    click.Option(["--port"], type=click.IntRange(0, 65535), help="0: any free one. Default: serving.port."),
    click.Option(
        ["--workers"], type=click.IntRange(1), help="Processes that answer. Default: serving.workers."
    ),
    click.Option(
        ["--platform"],
        type=click.Choice(["sagemaker", "vertex"]),
        envvar="MASKLOOP_PLATFORM",
        help="Answer a managed endpoint by its own routes, on its own port. Default: serving.platform.",
    ),
)

PLAN: Final = make_command(
    "plan",
    "flows.command.capacity:plan",
    """Work out replicas, GPUs, storage and cost for a load.

Figures come from this workspace's own judging, service and files where there are any, else from
docs/results.md; a plan names those that it extrapolates from. Name what you measured on another machine:
--pictures-per-s and --p95-alone-ms, for example of a GPU. Prices are in any currency.
""",
    click.Option(
        ["--pictures-per-day"], type=click.FloatRange(0), required=True, help="Pictures on a usual day."
    ),
    click.Option(
        ["--peak-factor"],
        type=click.FloatRange(1),
        default=3.0,
        show_default=True,
        help="The busiest minutes as a multiple of the day's mean rate.",
    ),
    click.Option(
        ["--p95-ms"],
        type=click.FloatRange(0, min_open=True),
        help="95 % of the answers may take so long at the peak. Default: serving.slo.p95_ms.",
    ),
    click.Option(
        ["--spare-replicas"],
        type=click.IntRange(0),
        default=1,
        show_default=True,
        help="Replicas that may be lost at the peak without an answer being late.",
    ),
    click.Option(
        ["--gpus-per-replica"],
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="GPUs of each replica.",
    ),
    click.Option(
        ["--max-load"],
        type=click.FloatRange(0.05, 0.95),
        default=0.7,
        show_default=True,
        help="Share of the time in which a replica may work at the peak.",
    ),
    click.Option(
        ["--variation"],
        type=click.FloatRange(0),
        default=1.0,
        show_default=True,
        help="Squared coefficient of variation of the time for a picture: 0 if all take as long.",
    ),
    click.Option(
        ["--labels-per-month"],
        type=click.FloatRange(0),
        default=500.0,
        show_default=True,
        help="Pictures that get labels in a month.",
    ),
    click.Option(
        ["--versions-per-month"],
        type=click.FloatRange(0),
        default=4.0,
        show_default=True,
        help="Models that are trained in a month.",
    ),
    click.Option(
        ["--replica-hour-price"],
        type=click.FloatRange(0),
        default=0.0,
        help="Price of a replica for an hour, GPUs included.",
    ),
    click.Option(
        ["--gb-month-price"],
        type=click.FloatRange(0),
        default=0.0,
        help="Price of 1 GB of storage for a month.",
    ),
    click.Option(
        ["--pictures-per-s"],
        type=click.FloatRange(0, min_open=True),
        help="Pictures a second of one replica at its limit, as you measured it.",
    ),
    click.Option(
        ["--p95-alone-ms"],
        type=click.FloatRange(0, min_open=True),
        help="p95 of a replica that answers one picture after the other, as you measured it.",
    ),
    click.Option(
        ["--picture-kb"], type=click.FloatRange(0, min_open=True), help="Size of a picture's file, in kB."
    ),
    click.Option(
        ["--url"], default="", help="The service's address. Default: the one that `maskloop up` runs."
    ),
    click.Option(["--key"], default="", envvar="MASKLOOP_API_KEY", help="An API key with the scope metrics."),
)

KEYS_ADD: Final = make_command(
    "add",
    "flows.command.serving:keys_add",
    "Make a key for NAME and print it. It is not shown again.",
    click.Argument(["name"]),
    click.Option(
        ["--scope", "scopes"],
        type=click.Choice(["predict", "feedback", "metrics", "views"]),
        multiple=True,
        help="What the key may do; repeat the option to allow several. Default: everything.",
    ),
    click.Option(
        ["--model", "models"],
        multiple=True,
        metavar="NAME",
        help="A model that the key may ask; repeat the option for several. Default: all of the service.",
    ),
    click.Option(
        ["--rate-limit"],
        default="",
        help="Requests accepted, such as 100/minute. Default: serving.rate_limit.",
    ),
    click.Option(
        ["--days"], type=click.FloatRange(0, min_open=True), help="Days until it expires. Default: never."
    ),
)

KEYS_LIST: Final = make_command(
    "list",
    "flows.command.serving:keys_list",
    "List the keys, never their secrets.",
)

KEYS_ROTATE: Final = make_command(
    "rotate",
    "flows.command.serving:keys_rotate",
    "Replace the key KEY_ID and print the new one. It is not shown again.",
    click.Argument(["key_id"]),
    click.Option(
        ["--grace-hours"],
        type=click.FloatRange(0),
        default=24.0,
        show_default=True,
        help="How long the old key stays valid.",
    ),
)

KEYS_REVOKE: Final = make_command(
    "revoke",
    "flows.command.serving:keys_revoke",
    "End the key KEY_ID at once.",
    click.Argument(["key_id"]),
)

PREDICT: Final = make_command(
    "predict",
    "flows.command.serving:predict",
    """Predict on PICTURES with the model that serves, and log them.

They become production samples. PICTURES are files or folders. JPEG, PNG, WebP and BMP are read,
whatever the names end in; with extras TIFF, DICOM and HEIC. With and without --url the answers are the
same: in --json, boxes (px) and masks (COCO RLE) lie in the picture as its file stores it, before any EXIF
orientation. Drawings are upright. Exit code 65: nothing could be answered.
""",
    click.Argument(["pictures"], nargs=-1, required=True, type=click.Path(path_type=Path)),
    click.Option(
        ["--source"], default="production", show_default=True, help="The camera or site they come from."
    ),
    click.Option(["--overlays"], type=click.Path(path_type=Path), help="Draw each answer into this folder."),
    click.Option(
        ["--min-score"],
        type=click.FloatRange(0, 1),
        help="Leave out instances with a lower score. Default: the model's own threshold.",
    ),
    click.Option(
        ["--url"], default="", help="Ask the service at this address instead of loading the model here."
    ),
    click.Option(["--key"], default="", envvar="MASKLOOP_API_KEY", help="An API key for --url."),
)

BATCH: Final = make_command(
    "batch",
    "flows.command.serving:batch",
    """Answer every picture of INPUT, in one resumable run, into OUTPUT.

INPUT is a folder, a list of pictures (.txt, .csv or .parquet), or an address such as s3://bucket/prefix.
OUTPUT is a folder. Pictures too large to be answered whole, such as GeoTIFFs, are cut into overlapping
tiles, and what tiles found is merged. A run that was killed goes on when the same command is given again:
nothing finished is repeated. No picture becomes a production sample. Exit code 65: nothing could be answered.
""",
    click.Argument(["place"], metavar="INPUT"),
    click.Argument(["output"], type=click.Path(path_type=Path, file_okay=False)),
    click.Option(["--version"], default="", help="The version that answers. Default: the champion."),
    click.Option(
        ["--format", "wanted"],
        type=click.Choice(["coco", "geojson", "parquet"]),
        default="coco",
        show_default=True,
        help="Of the answers. Another format later repeats nothing.",
    ),
    click.Option(
        ["--tile", "tile_px"],
        type=click.IntRange(32),
        help="Cut every larger picture into tiles of this side, in px. Default: only what is too large.",
    ),
    click.Option(
        ["--overlap", "overlap_px"],
        type=click.IntRange(0),
        help="What tiles share, in px. Default: batch.overlap_px, or a quarter of --tile.",
    ),
    click.Option(
        ["--min-score"],
        type=click.FloatRange(0, 1),
        help="Leave out instances with a lower score. Default: the model's own threshold.",
    ),
    click.Option(
        ["--workers"], type=click.IntRange(1), help="Processes that answer. Default: batch.workers."
    ),
)

ENGINES: Final = make_command(
    "engines",
    "flows.command.serving:engines",
    """Show which library runs each model here, and why.

`maskloop serve` decides it by measuring. A library that was in use when the service crashed is not used again
until it has another version; --retry has it tried at the service's next start.
""",
    click.Option(["--retry"], is_flag=True, help="Forget what was decided because the service had ended."),
)

VIDEO: Final = make_command(
    "video",
    "flows.command.serving:video",
    """Answer every frame of a video, follow its objects, smooth masks.

INPUT is a video file, OUTPUT a folder. Every instance gets the number of its track; masks, boxes and scores
are smoothed over the frames around each, and what the model said is told beside them. The answers are drawn
into a video too. A run that was killed goes on when the same command is given again; other options for
smoothing and format ask the model nothing again. Frames apart in time become production samples if the
champion answers. Needs the extra `video`. Exit code 65: it is no video, or no frame could be answered.
""",
    click.Argument(["video"], metavar="INPUT"),
    click.Argument(["output"], type=click.Path(path_type=Path, file_okay=False)),
    click.Option(["--version"], default="", help="The version that answers. Default: the champion."),
    click.Option(
        ["--format", "wanted"],
        type=click.Choice(["coco", "jsonl"]),
        default="coco",
        show_default=True,
        help="Of the answers.",
    ),
    click.Option(
        ["--smooth", "smoothing_frames"],
        type=click.IntRange(0),
        help="Frames before and behind each that take part in smoothing; 0: none. "
        "Default: video.smoothing_frames.",
    ),
    click.Option(
        ["--overlay/--no-overlay"],
        default=True,
        show_default=True,
        help="Draw the answers into OUTPUT/overlay.mp4.",
    ),
    click.Option(
        ["--min-score"],
        type=click.FloatRange(0, 1),
        help="Leave out instances with a lower score. Default: the model's own threshold.",
    ),
    click.Option(
        ["--source"],
        default="production",
        show_default=True,
        help="Where the video comes from, for the samples.",
    ),
    click.Option(
        ["--sample-gap", "sample_gap_s"],
        type=click.FloatRange(0),
        help="Least time between two production samples, in s; 0: none. Default: video.sample_gap_s.",
    ),
)

KEYS: Final = CommandGroup(
    "keys",
    [
        KEYS_ADD,
        KEYS_LIST,
        KEYS_ROTATE,
        KEYS_REVOKE,
    ],
    help="Make, list and end the API keys of the service.",
)
