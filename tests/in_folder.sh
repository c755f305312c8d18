#!/usr/bin/env bash
# in_folder.sh COMMAND... -- runs COMMAND in a new, empty folder (also in $TMPDIR), removed afterwards.
set -u
folder=$(mktemp -d "${TMPDIR:-/tmp}/asgd-test.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
TMPDIR=$folder "$@"
