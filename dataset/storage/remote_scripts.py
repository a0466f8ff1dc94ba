"""What a remote is asked, as text for a process that has DVC, which has no commands for it.

DVC cannot take single objects out of a remote, push some without asking for others, or tell what the remote
says of them. S3 itself says whether an object arrived whole: by its ETag, which is the md5 of what was sent
in one part and is not encrypted with a key of the user's, or by the checksum that came with it.
"""

from __future__ import annotations

from typing import Final

_LIST: Final = """
import base64, hashlib, json, os, random, sys, zlib
from concurrent.futures import ThreadPoolExecutor
from dvc.repo import Repo
from dvc_objects.fs.local import LocalFileSystem

asked = json.load(sys.stdin)
sizes = asked["sizes"]


def list_remote(objects):
    listed = objects.fs.fs.find(objects.path, detail=True)
    if not isinstance(listed, dict):  # DVC's own file system tells no details here
        listed = {path: objects.fs.info(path) for path in listed}
    return {objects.path_to_oid(path): one for path, one in listed.items()}


def bring(objects, names):
    places = [os.path.join(asked["back"], name[:2], name[2:]) for name in names]
    for place in places:
        os.makedirs(os.path.dirname(place), exist_ok=True)
    if names:
        objects.fs.get([objects.oid_to_path(name) for name in names], places)
"""

EXCHANGE: Final = f"""{_LIST}
altered = set(asked["altered"])


def is_told_whole(name):
    bucket, _, key = objects.oid_to_path(name).partition("/")
    told = objects.fs.fs.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    if told["ContentLength"] != sizes[name]:
        return False
    if told["ETag"].strip('"') == name.removesuffix(".dir"):
        return True
    with open(os.path.join(asked["cache"], name[:2], name[2:]), "rb") as file:
        data = file.read()
    if checksum := told.get("ChecksumSHA256"):
        return checksum == base64.b64encode(hashlib.sha256(data).digest()).decode()
    if checksum := told.get("ChecksumCRC32"):
        return checksum == base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    return False


with Repo(".") as repository:
    objects = repository.cloud.get_remote_odb(command="push")
    try:
        there = {{name: one["size"] for name, one in list_remote(objects).items()}}
    except FileNotFoundError:
        there = {{}}
    except (NotImplementedError, ValueError):  # a remote of this kind cannot be listed
        there = {{name: sizes.get(name) for name in objects.list_oids_exists(asked["names"])}}
    lacking = [
        name for name in asked["names"]
        if name in altered or name not in there or there[name] not in (None, sizes.get(name, there[name]))
    ]
    sent = [name for name in lacking if name in sizes]
    for name in sent:
        if name in there:
            objects.fs.remove(objects.oid_to_path(name))
    told = []
    for is_list in (False, True):  # the list of files comes last
        if names := [name for name in sent if name.endswith(".dir") == is_list]:
            files = [os.path.join(asked["cache"], name[:2], name[2:]) for name in names]
            objects.add(files, LocalFileSystem(), names, check_exists=False)
            if objects.fs.protocol == "s3":
                with ThreadPoolExecutor(16) as several:
                    told += [name for name, whole in zip(names, several.map(is_told_whole, names)) if whole]
            bring(objects, [name for name in names if name not in told])
    print()
    print(json.dumps({{"lacking": lacking, "told": told}}))
"""
"""Sends what a remote lacks of ``names``; what it says to be whole is ``told``, the rest is brought back.

An old object counts by being listed with its size: an ingest asks for what is new.
"""

SAMPLE: Final = f"""{_LIST}

def is_md5(tag):
    return len(tag) == 32 and set(tag) <= set("0123456789abcdef")


with Repo(".") as repository:
    objects = repository.cloud.get_remote_odb(command="fetch")
    bring(objects, [asked["list"]])
    with open(os.path.join(asked["back"], asked["list"][:2], asked["list"][2:]), "rb") as file:
        names = sorted({{entry["md5"] for entry in json.load(file)}})
    there = list_remote(objects)
    missing = [name for name in names if name not in there]
    held = [name for name in names if name in there]
    tags = {{name: there[name].get("ETag", "").strip('"') for name in held}}
    tells_md5 = any(tags[name] == name for name in held)  # with a key of the user's no ETag is an md5
    doubtful = {{
        name for name in held
        if there[name]["size"] != sizes.get(name, there[name]["size"])
        or (tells_md5 and is_md5(tags[name]) and tags[name] != name)
    }}
    drawn = random.SystemRandom().sample(held, min(asked["sample"], len(held)))
    read = sorted({{*drawn, *doubtful}})
    bring(objects, read)
    print()
    print(json.dumps({{"missing": missing, "read": [asked["list"], *read]}}))
"""
"""Compares what the remote says of a version's objects, and brings the doubtful ones and a sample."""
