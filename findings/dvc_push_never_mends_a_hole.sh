#!/usr/bin/env bash
# DVC 3.67.1: a file lost from the remote is never pushed again while the folder's `.dir` object is still there.
# `dvc push` says "Everything is up to date", `dvc status -c` says it is in sync, and a later version that shares the
# file is pushed with the same hole, although the file lies in the local cache. A fresh clone then cannot pull.
# Expected: push compares every file, or the later version's push does.
# Seen: push exit 0 "Everything is up to date."; status "in sync"; 1 object missing after the second version's push.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$work/venv/bin:$PATH" DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR="$work/site" HOME="$work"
mkdir "$work/repo" "$work/remote"; cd "$work/repo"
git init --quiet; git config user.name n; git config user.email n@example.org
dvc init --quiet; dvc remote add --quiet -d store "$work/remote"
mkdir data; for n in 1 2 3; do echo "picture $n" > "data/$n"; done
dvc add --quiet data; dvc push --quiet
lost=$(md5sum < data/2 | cut -c1-32)
rm "$work/remote/files/md5/${lost:0:2}/${lost:2}"
said=$(dvc push); echo "push after the loss: $said"
state=$(dvc status -c); echo "status -c: $state"
echo "picture 4" > data/4; dvc add --quiet data; dvc push --quiet
missing=0
for file in data/*; do
  sum=$(md5sum < "$file" | cut -c1-32)
  [ -e "$work/remote/files/md5/${sum:0:2}/${sum:2}" ] || { missing=$((missing + 1)); echo "not in the remote: $file"; }
done
[[ $said == *"up to date"* ]] && [[ $state == *"in sync"* ]] && [ "$missing" -eq 1 ] && echo "behaviour as stated"
