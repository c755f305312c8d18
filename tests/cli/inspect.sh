#!/bin/sh
# asgd inspect: the heaviest features by name, and what data hold.
. "${0%/*}/lib.inc"

# good is for the second class, bad against it, others say nothing.
awk 'BEGIN { for (i = 0; i < 1000; i++)
    printf "%d |word %s n%d |place p%d\n", i % 2 ? 1 : -1, i % 2 ? "good" : "bad", i % 9, i % 11 }' >t.vw
expect 0 -- train linear --train t.vw --cache none -o l.safetensors --quiet
expect 0 -- inspect l.safetensors --top 2 --data t.vw
has out 'heaviest features'
grep -qE '^ +\+[0-9.]+  word\^good$' out || fail 'word^good is not for it'
grep -qE '^ +-[0-9.]+  word\^bad$' out || fail 'word^bad is not against it'
lacks out 'n1'
lacks out '# is'
expect 0 -- inspect l.safetensors
[ "$(grep -cE '^ +[-+][0-9.e-]+  #[0-9a-f]{8}$' out)" -eq 20 ] || fail 'not 20 hashes'
has out 'give --data FILE'
sed 's/good/fine/' t.vw >other.vw
expect 0 -- inspect l.safetensors --top 2 --data other.vw
has out '# is the hash of a feature that other.vw lacks'
has out 'word^bad'
expect 0 -- inspect l.safetensors --top 3 --data t.vw --json
has out '"feature": "word^good"'
[ "$(grep -o '"feature"' out | wc -l)" -eq 3 ] || fail 'not three features'

# Factors beside weights; names that are numbers need no text.
expect 0 -- synth clicks -o t.ffm --rows 2000 --fields 5 --quiet
for model in fm ffm; do
    expect 0 -- train $model --train t.ffm --cache none -o $model.safetensors --quiet
    expect 0 -- inspect $model.safetensors --top 4
    has out '|factors|'
    [ "$(grep -cE '^ +[-+][0-9.e-]+ +[0-9.e-]+  [0-9]+$' out)" -eq 4 ] || fail "$model: not 4 features"
done
printf '+1 7:1 9:1\n-1 8:1 9:1\n+1 7:1\n-1 8:1\n' >t.svm
expect 0 -- train linear --train t.svm --cache none --mode sequential -o s.safetensors --quiet
expect 0 -- inspect s.safetensors --top 1
grep -qE '^ +[-+][0-9.]+  [78]$' out || fail 'feature 7 or 8 is not the heaviest'

# A dense table: columns by name.  Images: no list, unless it is asked for.
awk 'BEGIN { print "y,none,much"; for (i = 0; i < 300; i++) print i % 2 "," i % 5 "," i % 2 * 2 }' >d.csv
expect 0 -- train linear --train d.csv --cache none -o d.safetensors --quiet
expect 0 -- inspect d.safetensors --top 1
grep -qE '^ +\+[0-9.]+  much$' out || fail 'much is not the heaviest'
digits digits 100 20
expect 0 -- train mlp --train digits --epochs 1 --hidden 8 -o g.safetensors --quiet
expect 0 -- inspect g.safetensors
lacks out 'heaviest'
expect 0 -- inspect g.safetensors --top 3
has out 'heaviest'

# Names come from data: they cannot move the cursor, and are UTF-8 in JSON.
printf '1 |a \033[2Jx\n-1 |a \377y\n1 |a \033[2Jx\n-1 |a \377y\n' >odd.vw
expect 0 -- train linear --train odd.vw --cache none --mode sequential -o o.safetensors --quiet
expect 0 -- inspect o.safetensors --data odd.vw
has out 'a^?[2Jx'
expect 0 -- inspect o.safetensors --data odd.vw --json
has out '"a^?y"'

# Data.
expect 0 -- inspect t.vw --cache none
has out 'namespaces  word place'
has out '  -1              500  50.00 %'
printf '1 2 |a x\n-1 0.5 |a y\n1 |a x\n' >w.vw
expect 0 -- inspect w.vw --cache none
has out 'weights     0.5 to 2, mean 1.167'
expect 0 -- inspect w.vw --cache none --json
has out '"weight": {"min": 0.5, "max": 2.0'
printf '1,5 1:1\n2 2:1\n0,1,2 1:1\n' >sets.svm
expect 0 -- inspect sets.svm --cache none
has out 'labels each mean 2, at most 3'
expect 0 -- inspect t.ffm --cache none --json
holds "$(number out fields)" == 5

expect 1 'missing' -- inspect missing --top 3
expect 1 'missing' -- inspect l.safetensors --data missing
expect 2 '--top: t.vw is no model' -- inspect t.vw --top 3
expect 2 '--top 0: must be a whole number' -- inspect l.safetensors --top 0
done_testing
