"""`python BUNDLE serve` and `keys`: what a device is told, and the server that comes of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dataset.pictures.decoding import open_picture
from maskloop.errors import MaskloopError
from maskloop.settings.workspace_settings import ServingSettings
from models.edge.predictor import load_without_torch
from serving.access.limits import read_rate_limit
from serving.edge.assembly import EdgeOptions, count_cores, make_application, open_keys
from serving.edge.checking import refuse_other_answers
from serving.edge.manifest import EXPORT_FOLDER, BundleManifest, read_manifest
from serving.http.server import address_of, decide_on_keys, open_listener, run_server


def main(words: Sequence[str], *, bundle: Path) -> int:
    """Do what the command line says; return the exit code. The bundle's bytes were verified."""
    asked = _make_parser().parse_args(words)
    try:
        if asked.command == "keys":
            print(open_keys(asked.state).add(asked.name))
        else:
            _serve(asked, bundle)
    except MaskloopError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python BUNDLE")
    commands = parser.add_subparsers(dest="command", required=True)
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument("--state", type=Path, required=True, help="a folder that stays: keys and samples")
    keys = commands.add_parser("keys", parents=[state], help="make an API key; it is shown once")
    keys.add_argument("name")
    serve = commands.add_parser("serve", parents=[state], help="answer pictures until Ctrl-C")
    serve.add_argument("--host", default="127.0.0.1", help="anything but loopback needs API keys")
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument("--threads", type=int, default=count_cores(), help="that the model computes with")
    serve.add_argument("--cloud", default="", metavar="URL", help="the service that uncertain pictures go to")
    serve.add_argument("--cloud-timeout-s", type=float, default=5.0)
    serve.add_argument("--max-outbox-mb", type=float, default=200.0)
    serve.epilog = "The cloud service's API key is read from MASKLOOP_CLOUD_KEY."
    return parser


def _serve(asked: argparse.Namespace, bundle: Path) -> None:
    manifest = read_manifest(bundle)
    predictor = load_without_torch(bundle / EXPORT_FOLDER, num_threads=max(1, asked.threads))
    decode = partial(open_picture, max_mpx=manifest.max_picture_mpx, conversion=predictor.conversion)
    refuse_other_answers(bundle, manifest, predictor, decode)
    settings = ServingSettings(host=asked.host, port=asked.port, max_batch=1)
    read_rate_limit(settings.rate_limit)
    needs_keys = decide_on_keys(settings, open_keys(asked.state))
    options = EdgeOptions(
        state=asked.state,
        cloud_url=asked.cloud,
        cloud_key=os.environ.get("MASKLOOP_CLOUD_KEY", ""),
        cloud_timeout_s=asked.cloud_timeout_s,
        max_outbox_mb=asked.max_outbox_mb,
    )
    listener = open_listener(settings.host, settings.port)
    print(_describe(manifest, address_of(listener), options, needs_keys=needs_keys), flush=True)
    run_server(partial(make_application, bundle, manifest, predictor, settings, options), settings, listener)


def _describe(manifest: BundleManifest, url: str, options: EdgeOptions, *, needs_keys: bool) -> str:
    """Say what serves, where, under which blessing, and what becomes of uncertain pictures."""
    blessed = f"blessing {manifest.blessing_id[:12]}"
    lines = [f"{manifest.model_name}, version {manifest.version} ({manifest.format}, {blessed}) is at {url}"]
    lines.append("Every request needs an API key." if needs_keys else "No API key is needed.")
    if manifest.rule and options.cloud_url:
        lines.append(f"Pictures with a doubt above {manifest.rule.max_doubt:.3f} go to {options.cloud_url}")
    elif not options.cloud_url:
        lines.append("No cloud service is named: samples wait in the outbox.")
    return "\n".join(lines)
