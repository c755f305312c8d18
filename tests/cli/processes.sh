#!/bin/sh
# Several processes under mpirun: one speaks and saves; what is wrong is told once; one that is killed is done without.
. "${0%/*}/lib.inc"
here=${ASGD%/*}
mpirun=
for kind in openmpi mpich; do
    [ -z "$mpirun" ] && [ -f "$here/asgd_$kind.so" ] && mpirun=$(command -v mpirun.$kind) && made=$kind
done
[ -n "$mpirun" ] || { echo 'no MPI here'; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_base_warn_component_unused=0
# MPI's own memory is nobody's business here
export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0

# together N ARGUMENTS: code, out, err
together() {
    n=$1
    shift
    timeout 100 "$mpirun" -n "$n" "$ASGD" "$@" >out 2>err </dev/null
    code=$?
}
said() { grep -cF -e "$1" err; }

libsvm train.svm 3000
together 3 train linear --train train.svm --valid train.svm --epochs 4 --workers 1 --json -o m.safetensors \
    --log log.jsonl
[ $code -eq 0 ] || fail "exit $code"
[ "$(wc -l <out)" -eq 1 ] || fail 'not one result'
[ "$(number out processes)" = 3 ] || fail 'not 3 processes'
[ "$(number out examples)" = 12000 ] || fail 'not all examples'
[ "$(number out lost)" = 0 ] || fail 'some were lost'
holds "$(number out accuracy)" '>' 0.95
[ "$(said 'train: ')" -eq 1 ] || fail 'the notes were not told once'
[ -s log.jsonl ] || fail 'no log'
expect 0 -- eval m.safetensors --data train.svm

together 3 train linear --train train.svm --epochs 4 --workers 1 --quiet --json --drop 20 --clip-deltas 5 --guard on \
    --report report.html
[ $code -eq 0 ] || fail "governor: exit $code"
has report.html '<h2>Exchange</h2>'
has report.html 'Staleness of deltas'
has report.html '<td>what the guard did</td><td>nothing</td>'
has out '"staleness_histogram": ['
[ "$(number out interventions)" = 0 ] || fail 'the guard had to do something'
together 2 train linear --train train.svm --epochs 4 --workers 1 --quiet --json --local-steps 10 --outer-momentum 0.5
[ $code -eq 0 ] || fail "outer momentum: exit $code"
together 2 train linear --train train.svm --outer-momentum 0.5 --merging delta
[ $code -ne 0 ] && [ "$(said 'it needs merging mean, not delta')" -ge 1 ] || fail 'outer momentum of sums'
together 2 train linear --train train.svm --epochs 2 --workers 1 --quiet --json --merging delta,bias=mean
[ $code -eq 0 ] || fail "merging of a table: exit $code"
together 2 train linear --train train.svm --merging mean,hidden=delta
[ $code -ne 0 ] && [ "$(said "this model's tables are weight, bias")" -ge 1 ] || fail 'merging of a table that is not there'
expect 2 "merging 'sum': auto, delta, mean or elastic" -- train linear --train train.svm --merging sum
together 2 train linear --train train.svm --mode sync --drop 4
[ $code -ne 0 ] && [ "$(said 'mode sync adds up whole rounds')" -ge 1 ] || fail 'sync drops'
# far too large a step: the guard says what it does, and the run ends, well or not
together 4 train mlp --train train.svm --epochs 40 --workers 1 --lr 50 --schedule constant --hidden 16
[ $code -ge 124 ] && fail "diverging: exit $code"

together 3 train linear --train train.svm --epochs 2 --mode sync --local-steps 4 --workers 1 --quiet --json
[ $code -eq 0 ] || fail "sync: exit $code"
together 3 train linear --train train.svm --epochs 2 --mode sync --local-steps auto --compress auto --workers 1 --quiet \
    --json
[ $code -eq 0 ] || fail "sync, what is chosen: exit $code"
[ "$(number out local_steps)" -ge 1 ] || fail 'how many local steps were chosen is not told'
[ -n "$(number out compressed_deltas)" ] || fail 'how many deltas were compressed is not told'
together 3 train linear --train train.svm --epochs 2 --compress int8 --workers 1 --quiet --json
[ $code -eq 0 ] || fail "int8: exit $code"
[ "$(number out compressed_deltas)" -ge 1 ] || fail 'no delta was compressed'
together 2 train linear --train train.svm --epochs 2 --exchange none --quiet --json
[ $code -eq 0 ] && [ "$(grep -c '"processes": 1,' out)" -eq 2 ] || fail 'exchange none is not two runs'

# mistakes that all make, and one
rm -f m.safetensors
together 3 train linear --train nothing.svm -o m.safetensors
[ $code -ne 0 ] || fail 'no error'
[ "$(said 'nothing.svm: cannot open')" -ge 1 ] || fail 'the error was not told'
[ ! -e m.safetensors ] || fail 'a model was written'
together 2 train linear --train train.svm --mode locked --workers 2
[ $code -ne 0 ] && [ "$(said 'mode locked is of one process')" -ge 1 ] || fail 'locked'
timeout 100 "$mpirun" -n 1 "$ASGD" train linear --train train.svm --seed 1 : \
    -n 1 "$ASGD" train linear --train train.svm --seed 2 >out 2>err </dev/null && fail 'they differ'
has err 'has seed'

# before they are together nobody can end the others: the launcher says once what all say
launcher=${0%/*}/../../scripts/asgd-mpirun
ASGD_MPIRUN_OPTIONS= timeout 100 "$launcher" --mpirun "$mpirun" -n 3 "$ASGD" train linear --exchange telegraph \
    --train train.svm >out 2>err </dev/null
code=$?
[ $code -eq 2 ] || fail "exit $code of a wrong option"
[ "$(said 'telegraph')" -eq 1 ] || fail 'a wrong option was not told once'
cat >each.sh <<'END'
case ${OMPI_COMM_WORLD_RANK-$PMI_RANK} in 1) way=mpi ;; *) way=auto ;; esac
exec "$@" --exchange $way
END
ASGD_MPIRUN_OPTIONS= timeout 100 "$launcher" --mpirun "$mpirun" -n 3 sh each.sh "$ASGD" train linear --train train.svm \
    >out 2>err </dev/null
code=$?
[ $code -eq 1 ] || fail "exit $code of different exchanges"
[ "$(said 'not all have the same version of asgd and the same --exchange')" -eq 1 ] || fail 'different exchanges were not told once'

# only Open MPI's processes outlive one another
if [ $made = openmpi ]; then
    export OMPI_MCA_orte_enable_recovery=1 OMPI_MCA_orte_abort_on_non_zero_status=0
    # a shell notes who is who
    cat >one.sh <<'END'
echo $$ >pid.$OMPI_COMM_WORLD_RANK
exec "$@"
END
    timeout 100 "$mpirun" -n 3 sh one.sh "$ASGD" train linear --train train.svm --valid train.svm --epochs 1000 \
        --workers 1 --pace 1ms --batch 64 --patience never --max-seconds 6 --dead-after 1 --log kill.jsonl \
        -o k.safetensors --json >out 2>err </dev/null &
    pid=$!
    tries=0
    until [ -s kill.jsonl ] || [ $tries -ge 200 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL "$(cat pid.0)" # the one that speaks
    wait $pid
    code=$?
    [ $code -eq 0 ] || fail "exit $code after a kill"
    [ "$(number out lost)" = 1 ] || fail 'nobody was lost'
    has out '"end": "seconds"'
    [ -s k.safetensors ] || fail 'no model after a kill'

    # one that comes back when it has been given up ends by itself, and not what the others do
    rm -f pid.*
    ASGD_MPIRUN_OPTIONS= timeout 100 "$launcher" --mpirun "$mpirun" --grace 1 -n 3 sh one.sh "$ASGD" train linear \
        --train train.svm --valid train.svm --epochs 1000 --workers 1 --pace 1ms --batch 64 --patience never \
        --max-seconds 9 --dead-after 1 --log stop.jsonl -o s.safetensors --json >out 2>err </dev/null &
    pid=$!
    tries=0
    until [ -s stop.jsonl ] || [ $tries -ge 200 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -STOP "$(cat pid.1)"
    sleep 3
    kill -CONT "$(cat pid.1)"
    wait $pid
    code=$?
    [ $code -eq 0 ] || fail "exit $code where one was given up and came back"
    [ "$(number out lost)" = 1 ] || fail 'nobody was given up'
    has out '"end": "seconds"'
    has err 'the other processes go on without this one'
fi
done_testing
