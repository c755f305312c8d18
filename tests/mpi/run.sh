#!/usr/bin/env bash
# run.sh PROCESSES THROUGH CODE MODE [SECONDS] -- link_check by asgd-mpirun: its exit code, and how many processes
#     say that they got through; THROUGH may be a text instead, a part of what they are to say.
# run.sh launcher -- the launcher itself, with programs that die, hang and are interrupted.
set -u
[[ -x ${MPIRUN-} ]] || { echo "skipped: no mpirun of $MPI_KIND"; exit 77; }
export ASGD_MPIRUN_OPTIONS=--oversubscribe
((EUID)) || ASGD_MPIRUN_OPTIONS+=" --allow-run-as-root"
export UCX_MEM_EVENTS=no # UCX, in MPICH, replaces madvise(), which threads that have ended call: sanitizers do not bear it
export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 # MPIs leak
folder=$(mktemp -d "${TMPDIR:-/tmp}/asgd-mpi.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder # short: Open MPI makes sockets in it
launch=("$LAUNCHER" --mpirun "$MPIRUN")
failures=0
fail() {
    failures=$((failures + 1))
    echo "FAILED: $*"
}

if [[ $1 != launcher ]]; then
    processes=$1 through=$2 code=$3
    shift 3
    [[ ${TRANSPORT-shm} == shm ]] || launch+=(--fabric -O --mca -O btl -O "tcp,self")
    [[ $1 != die-once ]] || set -- "$1" "$folder/died"
    timeout 100 "${launch[@]}" -n "$processes" "$LINK_CHECK" "$@" >"$folder/out" 2>&1
    got=$?
    cat "$folder/out"
    ((got == code)) || fail "exit $got, not $code"
    if [[ $through =~ ^[0-9]+$ ]]; then
        n=$(grep -c "got through" "$folder/out")
        ((n == through)) || fail "$n processes got through, not $through"
    else
        grep -qF -e "$through" "$folder/out" || fail "nobody says: $through"
    fi
    exit $((failures > 0))
fi

# expect CODE TEXT WORD...: the launcher with these words ends with that code and says that.
expect() {
    local code=$1 text=$2
    shift 2
    timeout 60 "${launch[@]}" "$@" >"$folder/out" 2>&1
    local got=$?
    ((got == code)) || { fail "exit $got, not $code: $*"; cat "$folder/out"; }
    [[ -z $text ]] || grep -qF -e "$text" "$folder/out" || { fail "\"$text\" is not said: $*"; cat "$folder/out"; }
}
program() { # program NAME: a script from standard input
    cat >"$folder/$1"
    chmod +x "$folder/$1"
}

expect 0 "usage: asgd-mpirun" --help
expect 2 "which program?"
expect 2 "no option --unknown" --unknown true
expect 2 "no whole number" -n many true
expect 2 "needs the program to have --checkpoint" --restarts 1 -n 1 true
expect 1 "no process was left" -n 2 false

program dies <<'END'
#!/bin/bash
case "$*" in *--resume*) echo 0 >>"$ASGD_VERDICT"; exit 0 ;; esac
kill -9 $$
END
expect 0 "starting it again from its checkpoint (1 of 2)" --restarts 2 -n 2 "$folder/dies" --checkpoint there
expect 1 "no process was left" -n 2 "$folder/dies" --checkpoint there

# Who dies before all have come up leaves the others stuck: the job is started again, a few times.
program comes_up <<'END'
#!/bin/bash
mine=$1.$OMPI_COMM_WORLD_RANK
echo opening >>"$ASGD_VERDICT.start"
echo >>"$mine"
if (($(wc -l <"$mine") <= $2)); then
    ((OMPI_COMM_WORLD_RANK == 0)) || exec sleep 1000
    sleep 0.5
    kill -9 $$
fi
echo open >>"$ASGD_VERDICT.start"
echo 0 >>"$ASGD_VERDICT"
END
expect 0 "starting the job again (1 of 3)" -n 2 "$folder/comes_up" "$folder/once" 1
expect 1 "did not all come up" -n 2 "$folder/comes_up" "$folder/always" 1000
(($(cat "$folder"/always.* | wc -l) == 8)) || fail "the job of two was not started four times"
program is_refused <<'END'
#!/bin/bash
echo opening >>"$ASGD_VERDICT.start"
echo >>"$1"
echo 2 >>"$ASGD_VERDICT"
END
expect 2 "" -n 2 "$folder/is_refused" "$folder/refused"
(($(wc -l <"$folder/refused") == 2)) || fail "a job that ended with a code was started again"
program is_stuck <<'END'
#!/bin/bash
echo opening >>"$ASGD_VERDICT.start"
if mkdir "$1" 2>/dev/null; then
    echo stuck >>"$ASGD_VERDICT.start"
    echo 1 >>"$ASGD_VERDICT"
    exit 1
fi
echo open >>"$ASGD_VERDICT.start"
echo 0 >>"$ASGD_VERDICT"
END
expect 0 "starting the job again (1 of 3)" -n 1 "$folder/is_stuck" "$folder/stuck"

program fails <<'END'
#!/bin/bash
[[ $1 != --late ]] || sleep 1
echo "$2" >>"$ASGD_VERDICT"
END
expect 3 "" -n 2 "$folder/fails" --now 3
expect 0 "" -n 2 "$folder/fails" --late 0

# What all find before they are together is said once; from other machines, which do not have the launcher's files, too.
program finds <<'END'
#!/bin/bash
if [[ $1 == here ]]; then
    echo "no such thing: $2" >>"$ASGD_VERDICT.why"
    echo 2 >>"$ASGD_VERDICT"
else
    echo "@asgd-verdict ${ASGD_VERDICT##*/}.why no such thing: $2" >&2
    echo "@asgd-verdict ${ASGD_VERDICT##*/} 2" >&2
fi
exit 2
END
expect 2 "asgd: no such thing: a word" -n 3 "$folder/finds" here "a word"
(($(grep -c "no such thing" "$folder/out") == 1)) || fail "what all find is not said once"
expect 2 "asgd: no such thing: a word" --host localhost,localhost,localhost -n 3 "$folder/finds" there "a word"
(($(grep -c "no such thing" "$folder/out") == 1)) || fail "what all find on other machines is not said once"

program hangs <<'END'
#!/bin/bash
echo 0 >>"$ASGD_VERDICT"
sleep 1000
END
expect 0 "the run has ended but mpirun has not" --grace 1 -n 2 "$folder/hangs"

program waits <<'END'
#!/bin/bash
trap 'echo 130 >>"$ASGD_VERDICT"; exit 130' INT
touch "$1.$$"
for ((i = 0; i < 300; i++)); do sleep 0.1; done
END
"${launch[@]}" -n 2 "$folder/waits" "$folder/begun" >"$folder/out" 2>&1 &
job=$!
for ((i = 0; i < 200; i++)); do
    started=("$folder"/begun.*)
    ((${#started[@]} == 2)) && break
    sleep 0.1
done
kill -TERM $job
wait $job
got=$?
((got == 130)) || { fail "exit $got, not 130, when interrupted"; cat "$folder/out"; }
grep -q "asking the processes to stop" "$folder/out" || fail "nothing is said about stopping"
exit $((failures > 0))
