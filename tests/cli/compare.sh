#!/bin/sh
# asgd compare: every mode in one table, in JSON and in one report.
. "${0%/*}/lib.inc"
digits digits 600 200

expect 0 -- compare mlp --train digits --valid digits --epochs 1 --workers 3 --hidden 16 \
    --modes sequential,sync,sync+1,async,locked --straggler none,2:4x --pace 1ms --report c.html
has out 'straggler'
has out 'valid accuracy'
# sequential once, the four others with and without the straggler, under one heading
[ "$(wc -l <out)" -eq 10 ] || fail 'not ten lines'
[ "$(grep -c '^sequential' out)" -eq 1 ] || fail 'sequential is not there once'
[ "$(grep -c '2:4x' out)" -eq 4 ] || fail 'not four runs with a straggler'
for mode in 'sync ' 'sync+1 ' 'async ' 'locked '; do has out "$mode"; done
has c.html 'sync+1, 3 workers, 2:4x'
has c.html 'Examples by worker'

expect 0 -- compare mlp --train digits --valid digits --epochs 1 --workers 1,2 --hidden 16 \
    --modes async --target accuracy=0.1 --json --quiet
[ "$(grep -c '"mode": "async"' out)" -eq 2 ] || fail 'not two runs'
has out '"target_seconds"'
has out '"speed": 1.0'
head -n 1 out | grep -qx '\[' || fail 'not an array'

# Deterministic where it promises to be.
run() {
    expect 0 -- train mlp --train digits --valid digits --epochs 1 --mode sequential --seed 5 --json
    number out loss
}
[ "$(run)" = "$(run)" ] || fail 'sequential runs differ'
done_testing
