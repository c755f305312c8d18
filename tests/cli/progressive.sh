#!/bin/sh
# Progressive validation: one pass in the order of the file, told as it goes on.
. "${0%/*}/lib.inc"
awk 'BEGIN { for (i = 0; i < 4000; i++) printf "%d |a x%d |b y%d\n", i % 2 ? 1 : -1, i % 2, i % 5 }' >t.vw

# The same by file and by standard input, one worker: loss before update, and order, are all there is.
expect 0 -- train linear --train t.vw --cache none --progressive --workers 1 --json
cp err table
loss=$(number out online_loss)
holds "$(number out epochs)" == 1
holds "$loss" '>' 0.001
holds "$loss" '<' 0.3
"$ASGD" train linear --train - --format vw --progressive --workers 1 --json <t.vw >out 2>err || fail stdin
[ "$(number out online_loss)" = "$loss" ] || fail 'standard input gives another loss'
expect 0 -- train linear --train t.vw --cache none --order file --epochs 1 --lr 0.5 --schedule constant --workers 1 --json
[ "$(number out online_loss)" = "$loss" ] || fail 'it is not a pass in the order of the file'
lacks err 'since last'
expect 0 -- train linear --train t.vw --cache none --epochs 1 --lr 0.5 --workers 1 --json --schedule constant
[ "$(number out online_loss)" != "$loss" ] || fail 'a shuffled pass gives the same loss'

# The table ends with all examples and the mean over them.
has table '    examples       loss  since last'
last=$(tail -n 2 table | grep -v 'shared:' | awk '{ print $1, $2 }')
[ "${last% *}" = 4000 ] || fail "the table ends with $last"
holds "${last#* } - $loss" '<' 0.000001
holds "$loss - ${last#* }" '<' 0.000001

# For people, in reports and beside validation; quiet is quiet.
expect 0 -- train linear --train t.vw --valid t.vw --cache none --progressive --workers 1 --report r.html --log l.jsonl
grep -q '^progressive loss  *0\.' out || fail 'the summary has no progressive loss'
has out 'valid ne'
has r.html 'progressive loss'
tail -n 1 l.jsonl | grep -q '"examples": 4000' || fail 'the log does not end with the end'
expect 0 -- train linear --train t.vw --cache none --progressive --quiet
[ ! -s err ] || fail '--quiet is not quiet'
expect 0 -- compare linear --train t.vw --valid t.vw --cache none --progressive --modes async --workers 1,2 --json
[ "$(grep -c '"online_loss"' out)" -eq 2 ] || fail 'not two losses'
lacks err 'since last'

# The usual rate ten times as long is far too long for examples of many entries.
expect 0 -- synth clicks -o c.ffm --rows 20000 --seed 1 --quiet
for model in linear fm ffm; do
    expect 0 -- train $model --train c.ffm --cache none --epochs 0.01 --mode sequential --quiet --json
    lr=$(number out lr)
    expect 0 -- train $model --train c.ffm --cache none --progressive --mode sequential --quiet --json
    loss=$(number out online_loss)
    expect 0 -- train $model --train c.ffm --cache none --progressive --mode sequential --quiet --json \
        --lr "$(awk "BEGIN { print 10 * $lr }" </dev/null)"
    holds "1.1 * $loss" '<' "$(number out online_loss)"
done

expect 2 '--epochs 2: --progressive is one pass' -- train linear --train missing --progressive --epochs 2
expect 2 '--order shuffle: --progressive takes the examples as they come' -- \
    train linear --train missing --progressive --order shuffle
done_testing
