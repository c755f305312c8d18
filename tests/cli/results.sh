#!/bin/sh
# What a run leaves: summary, JSON, log, report, model, and its use by eval, predict and inspect.
. "${0%/*}/lib.inc"
digits digits 1000 300

expect 0 -- train mlp --train digits --valid digits --epochs 3 --workers 2 -o m.safetensors \
    --log log.jsonl --report report.html --json
for key in model mode workers processes epochs examples seconds examples_per_second train loss valid \
    accuracy staleness mean p50 p99 max rule lr batch share load_seconds merge_seconds dropped end \
    online_loss; do
    has out "\"$key\":"
done
[ "$(wc -l <out)" -eq 1 ] || fail 'JSON is not one line'
holds "$(number out workers)" == 2
holds "$(number out examples)" == 3000
trained=$(number out accuracy)
holds "$trained" '>' 0.3

grep -c '"valid"' log.jsonl | grep -qx '[1-9]' || fail 'the log has no line for evaluations'
grep -qv '^{.*}$' log.jsonl && fail 'a line of the log is no object'

has report.html '<svg'
has report.html 'Training loss against time'
has report.html 'prefers-color-scheme:dark'
for outside in 'http' '<script' '@import' 'src='; do lacks report.html "$outside"; done

expect 0 -- eval m.safetensors --data digits --json
holds "$(number out accuracy)" == "$trained"
expect 0 -- eval m.safetensors --data digits --part train
has out 'examples    1000'

expect 0 -- predict m.safetensors --data digits -o labels.txt
[ "$(wc -l <labels.txt)" -eq 300 ] || fail 'not one line for each example'
grep -qvx '[0-9]' labels.txt && fail 'a prediction is no digit'
expect 0 -- predict m.safetensors --data digits --probabilities --quiet
[ "$(awk -F'\t' 'NF != 11 { bad++ } END { print bad + 0 }' out)" -eq 0 ] || fail 'not 11 columns'
awk -F'\t' '{ s = 0; for (i = 2; i <= NF; i++) s += $i; if (s < 0.999 || s > 1.001) exit 1 }' out ||
    fail 'probabilities do not sum to 1'
cut -f1 out | cmp -s - labels.txt || fail 'labels differ between the two forms'

expect 0 -- inspect m.safetensors
has out 'model mlp'
has out '10 classes'
expect 0 -- inspect m.safetensors --json
has out '"tables"'
expect 0 -- inspect digits
has out 'classes     10'
expect 0 -- inspect digits --json --part test
holds "$(number out examples)" == 300
expect 0 -- inspect --machine
[ -s out ] || fail 'nothing about the machine'

# Labels that are not 0, 1, ... come back as they were in the file; names are escaped in reports.
libsvm 'a<b&c.svm' 200
expect 0 -- train softmax --train 'a<b&c.svm' --cache none --epochs 3 -o s.safetensors --report r.html
lacks r.html 'a<b'
has r.html 'a&lt;b&amp;c.svm'
expect 0 -- predict s.safetensors --data 'a<b&c.svm' --cache none --quiet
[ "$(sort -u out | tr '\n' ' ')" = '-1 1 ' ] || fail 'labels are not those of the file'
expect 0 -- train linear --train 'a<b&c.svm' --cache none --epochs 3 -o l.safetensors --quiet
[ -s out ] && fail '--quiet printed'
[ -s err ] && fail '--quiet noted'
expect 0 -- predict l.safetensors --data 'a<b&c.svm' --cache none --quiet
awk '$1 < 0 || $1 > 1 { exit 1 }' out || fail 'a probability is outside 0..1'
# Real-valued targets from a CSV file, its label column by name and by number.
awk 'BEGIN { print "price,size"; for (i = 0; i < 300; i++) { s = i % 17 / 17; print 3 * s + 0.5 "," s } }' >h.csv
expect 0 -- train linear --train h.csv --valid h.csv --label price --cache none --epochs 30 -o h.safetensors --json
holds "$(number out rmse)" '<' 0.3
expect 0 -- predict h.safetensors --data h.csv --label 1 --cache none --quiet
[ "$(wc -l <out)" -eq 300 ] || fail 'not one value for each example'
expect 0 -- inspect h.csv --label price --cache none
has out 'real values from 0.5'
expect 2 'not a model of classes' -- predict l.safetensors --data d --probabilities
done_testing
