#!/bin/sh
# Outputs are checked before training, appear whole or not at all, and a full disk is an error.
. "${0%/*}/lib.inc"
libsvm d.svm 400

# An unwritable place is found before the data are read: they do not exist here.
for option in -o --report --log; do
    expect 1 'nothing was run' -- train linear --train missing $option nowhere/m.out
    mkdir -p folder
    expect 1 'is a folder' -- train linear --train missing $option folder
done
expect 1 'not a regular file' -- train linear --train missing -o /dev/null
expect 1 'nothing was run' -- predict missing --data missing -o nowhere/p.txt

expect 0 -- train linear --train d.svm --cache none -o m.safetensors
ls | grep -q tmp && fail 'a temporary file was left'

# A full disk, by a limit on the size of files.
expect 0 -- synth digits -o digits --examples 200 --test 20 --quiet
echo old >old.safetensors
(
    ulimit -f 8 || exit 77
    "$ASGD" train mlp --train digits --epochs 1 --workers 1 -o old.safetensors >out 2>err
)
code=$?
if [ $code -ne 77 ]; then
    [ $code -eq 1 ] || fail "exit $code, not 1, at the file limit"
    has err 'old.safetensors'
    [ "$(cat old.safetensors)" = old ] || fail 'the old file is lost'
    ls | grep -q tmp && fail 'a temporary file was left at the limit'
fi

# A run that diverges saves nothing: squared loss overflows within a few steps.
awk 'BEGIN { print "y,x"; for (i = 0; i < 500; i++) print i % 9 + 0.25 "," i % 7 }' >d.csv
expect 1 'diverged' -- train linear --train d.csv --cache none --rule sgd --mode sequential --lr 1e6 \
    -o old.safetensors
[ "$(cat old.safetensors)" = old ] || fail 'a diverged model was saved'

# Standard output.
if [ -e /dev/full ]; then
    "$ASGD" train linear --train d.svm --cache none --json --quiet >/dev/full 2>err
    [ $? -eq 1 ] || fail 'a full standard output is not an error'
    expect 1 '--log' -- train linear --train d.svm --cache none --log /dev/full
fi
done_testing
