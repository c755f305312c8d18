#!/bin/sh
# What asgd predict writes, for each kind of model, by any number of workers.
. "${0%/*}/lib.inc"

# Two classes, more lines than fit in one chunk.
awk 'BEGIN { for (i = 0; i < 60000; i++) printf "%s 1:%d 2:%d 3:%g\n", i % 3 ? "+1" : "-1", (i % 3 > 0), i % 7, i % 101 / 101 }' >d.svm
expect 0 -- train linear --train d.svm --epochs 0.2 --workers 1 -o m.safetensors --quiet
expect 0 -- predict m.safetensors --data d.svm --workers 1 -o one.txt
expect 0 -- predict m.safetensors --data d.svm --workers 3 --quiet
cmp -s out one.txt || fail 'three workers write something else than one'
[ "$(wc -l <one.txt)" -eq 60000 ] || fail 'not one line for each example'
grep -qvx '[01]\(\.[0-9]*\)\{0,1\}\(e-[0-9]*\)\{0,1\}' one.txt && fail 'a line is no probability'
# The order is that of the data: the log loss from the file is that of eval.
expect 0 -- eval m.safetensors --data d.svm --json
want=$(number out logloss)
got=$(cut -d' ' -f1 d.svm | paste - one.txt |
    awk '{ p = $1 > 0 ? $2 : 1 - $2; if (p < 1e-15) p = 1e-15; s -= log(p) } END { printf "%.9f", s / NR }')
holds "($got) - ($want)" '<' 0.000002
holds "($want) - ($got)" '<' 0.000002

# Margins have a sign; amounts are what they are.
expect 0 -- train linear --train d.svm --epochs 0.2 --loss hinge -o h.safetensors --quiet
expect 0 -- predict h.safetensors --data d.svm --quiet
[ "$(grep -c '^-' out)" -eq 20000 ] || fail 'not 20000 negative margins'
awk 'BEGIN { print "y,x"; for (i = 0; i < 2000; i++) print 1000000 * (i % 10) + 0.5 "," i % 10 }' >r.csv
expect 0 -- train linear --train r.csv --cache none --rule adam --lr 100000 --epochs 3 --workers 1 -o r.safetensors --quiet
expect 0 -- predict r.safetensors --data r.csv --cache none --quiet
awk '!($1 + 0 == $1) || length($1) > 13 { exit 1 }' out || fail 'an amount is no number'

# Classes that are names; sets of labels.
awk 'BEGIN { print "kind,a,b"; split("ant bee cat", n, " ")
    for (i = 0; i < 600; i++) print n[i % 3 + 1] ",v" i % 3 ",w" i % 5 }' >k.csv
expect 0 -- train softmax --train k.csv --label kind --cache none -o k.safetensors --quiet
expect 0 -- predict k.safetensors --data k.csv --cache none --quiet
cut -d, -f1 k.csv | tail -n +2 | cmp -s - out || fail 'classes do not come back by name'
expect 0 -- predict k.safetensors --data k.csv --cache none --quiet --probabilities
awk -F'\t' 'NF != 4 || $1 !~ /^(ant|bee|cat)$/ { exit 1 }
    { s = $2 + $3 + $4; if (s < 0.9999 || s > 1.0001) exit 1 }' out || fail 'probabilities'
awk 'BEGIN { for (i = 0; i < 900; i++) printf "%s %d:1 %d:1\n",
    i % 3 == 0 ? "1,5" : i % 3 == 1 ? "2" : "0,1,2", i % 3 + 1, 4 + i % 7 }' >s.svm
expect 0 -- train linear --train s.svm --valid s.svm --cache none -o s.safetensors
has out 'valid precision@1'
lacks out 'auc'
expect 0 -- eval s.safetensors --data s.svm --cache none --json
for key in p1 p3 p5; do has out "\"$key\":"; done
expect 0 -- predict s.safetensors --data s.svm --cache none --quiet
head -n 1 out | grep -q '^\(1 5\|5 1\) ' || fail 'the first example has other labels'
awk 'NF != 5 { exit 1 }' out || fail 'not five labels a line'
expect 0 -- predict s.safetensors --data s.svm --cache none --quiet --probabilities
awk -F'\t' 'NF != 7 { exit 1 }' out || fail 'not the probabilities of six labels'
expect 0 -- train linear --train s.svm --valid s.svm --cache none --target p1=0.5 --json
has out '"end": "target"'
expect 2 'did you mean p3?' -- train linear --train s.svm --valid s.svm --target precision@3=0.5
expect 2 'the best calibration is 1' -- train linear --train d.svm --valid d.svm --target calibration=1

# A full disk: the old file stays, nothing is left beside it.
echo old >old.txt
(
    ulimit -f 64 || exit 77
    "$ASGD" predict m.safetensors --data d.svm --cache none -o old.txt >out 2>err
)
code=$?
if [ $code -ne 77 ]; then
    [ $code -eq 1 ] || fail "exit $code, not 1, at the file limit"
    has err 'old.txt: File too large'
    [ "$(cat old.txt)" = old ] || fail 'the old file is lost'
    ls | grep -q 'old.txt.' && fail 'a temporary file was left'
fi
if [ -e /dev/full ]; then
    "$ASGD" predict m.safetensors --data d.svm --quiet >/dev/full 2>err
    [ $? -eq 1 ] || fail 'a full standard output is not an error'
    has err 'No space left'
fi
done_testing
