#!/bin/sh
# Ctrl-C ends a run in good order: -o and the checkpoint are saved, exit 130, --resume goes on.
. "${0%/*}/lib.inc"
digits digits 400 100

# The shell starts background jobs with SIGINT ignored; the program sets its own handler all the same.
"$ASGD" train mlp --train digits --valid digits --epochs 1000 --workers 2 --pace 5ms --hidden 8 \
    -o m.safetensors --checkpoint state --log log.jsonl >out 2>err &
pid=$!
tries=0
until [ -s log.jsonl ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "exit $code, not 130"
has err 'interrupted after'
has err 'to go on:'
has err '--resume'
[ -s m.safetensors ] || fail 'the model was not saved'
[ -d state ] || fail 'there is no checkpoint'
expect 0 -- eval m.safetensors --data digits

lines=$(wc -l <log.jsonl)
cp log.jsonl before.jsonl
expect 0 -- train mlp --train digits --valid digits --epochs 1000 --workers 2 --pace 5ms --hidden 8 \
    -o m.safetensors --checkpoint state --log log.jsonl --resume --max-seconds 1 --json
has out '"end": "seconds"'
head -n "$lines" log.jsonl | cmp -s - before.jsonl || fail 'the log was not appended to'
epochs=$(sed -n "$((lines + 1))s/.*\"epochs\": \\([0-9.]*\\).*/\\1/p" log.jsonl)
before=$(sed -n "${lines}s/.*\"epochs\": \\([0-9.]*\\).*/\\1/p" log.jsonl)
holds "$epochs" '>=' "$before"

# Without a checkpoint it says that there is no going on; SIGTERM is heard as well.
rm -f log.jsonl
"$ASGD" train mlp --train digits --epochs 1000 --pace 5ms --hidden 8 --workers 2 \
    --log log.jsonl >out 2>err &
pid=$!
tries=0
until [ -s log.jsonl ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "exit $code, not 130, after SIGTERM"
has err 'cannot be resumed'
done_testing
