#!/usr/bin/env bash
# restart.sh [RUNS [SEED]] -- jobs that die as a whole when one process does, as MPICH's do, and go on from their
# checkpoint.
#
# Each run trains with PROCESSES processes (4) under `asgd-mpirun --restarts`, with a checkpoint every SAVE (1s), while one
# to three times, at random moments, a random process is killed (SIGKILL), the first one too. A run is right if it ends by
# itself in time, with exit code 0; if its result counts every example of all attempts once, and none as lost; if it was
# started again once for each kill that ended it, and went on from a checkpoint where there was one; and if its quality
# is no further from the mean of BASES (8) undisturbed runs, each of another seed, than four of their standard deviations.
# Prints a line a run; exits with 1 if any was not right. A run's faults follow from its seed, though not to the
# microsecond.
#
#   ASGD=build/release/asgd  MPIRUN=scripts/asgd-mpirun  MPI=mpich  JOB=clicks|digits|both  PROCESSES=4  TIMEOUT=120
#   EXCHANGE=auto|tcp|mpi
#   BASES=8  SAVE=1s
#   MNIST=FOLDER    its images instead of drawn digits
#   FOLDER=FOLDER   data and undisturbed runs are kept there, and taken from there where they are
#   WRAP=COMMAND    begins each run, as `nice` would; it may wait
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
MPI=${MPI:-mpich}
PROCESSES=${PROCESSES:-4}
SAVE=${SAVE:-1s}
runs=${1:-10} seed0=${2:-1}
BASES=${BASES:-8}
ROWS=400000 VALID_ROWS=100000 EPOCHS=3
# shellcheck source=tests/mpi/kills.inc
. "$here/tests/mpi/kills.inc"

launch() { # JOB OUTPUT
    rm -rf "$folder/checkpoint"
    # shellcheck disable=SC2086
    $WRAP timeout -k 5 "$TIMEOUT" "$MPIRUN" --mpi "$MPI" --restarts 9 -n "$PROCESSES" "$ASGD" ${arguments[$1]} \
        --workers 1 --seed "$seed" --checkpoint "$folder/checkpoint" --checkpoint-every "$SAVE" --exchange "${EXCHANGE:-auto}" --json \
        --quiet -o "$folder/model.safetensors" >"$2" 2>"$2.err"
}

ranks() { # the processes of this run, "PID RANK" a line
    local pid rank
    for pid in $(pgrep -f "^$ASGD train .*$folder/model"); do
        rank=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -nE 's/^(OMPI_COMM_WORLD_RANK|PMI_RANK)=//p')
        [[ -n $rank ]] && echo "$pid $rank"
    done
}

good=0 bad=0 kills=0 first=0 resumed=0
one_run() {
    local job=$1 output=$folder/run.json faults="" began launcher n i pid rank victims verdict=right killed=0 had=0
    launch "$job" "$output" &
    launcher=$!
    began=""
    n=$((1 + $(draw 3)))
    while ((killed < n)) && kill -0 "$launcher" 2>/dev/null; do
        victims=()
        while ((${#victims[@]} < PROCESSES)) && kill -0 "$launcher" 2>/dev/null; do # of this attempt; WRAP may wait
            sleep 0.1
            mapfile -t victims < <(ranks)
        done
        : "${began:=$SECONDS}"
        sleep "$(draw 5).$(draw 10)"
        mapfile -t victims < <(ranks)
        ((${#victims[@]})) || break # the run is over
        read -r pid rank <<<"${victims[$(draw ${#victims[@]})]}"
        [[ ! -e $folder/checkpoint/manifest.json ]] || had=$((had + 1))
        kill -KILL "$pid" 2>/dev/null || break
        faults+=" kill:$rank"
        killed=$((killed + 1)) kills=$((kills + 1))
        ((rank > 0)) || first=$((first + 1))
        for ((i = 0; i < 100; i++)); do # until the others have been ended, too
            grep -q "again from its checkpoint ($killed of" "$output.err" && break
            sleep 0.1
        done
    done
    wait "$launcher"
    local code=$? value examples total lost again
    value=$(field "$output" "${metric[$job]}")
    examples=$(field "$output" examples)
    total=$(field "$output" positions)
    lost=$(field "$output" lost_examples)
    again=$(grep -c "starting it again" "$output.err")
    if ((code != 0)) || [[ -z $value ]]; then
        verdict="WRONG: exit code $code"
    elif ((examples != total || lost != 0)); then
        verdict="WRONG: $examples of $total examples are accounted for, $lost lost"
    elif ((again > killed || again < killed - 1)); then # the last one may have come too late
        verdict="WRONG: started again $again times"
    elif ! awk -v a="$value" -v b="${mean[$job]}" -v t="${tolerance[$job]}" \
        'BEGIN { exit !(a - b <= t && b - a <= t) }'; then
        verdict="WRONG: undisturbed ${mean[$job]} +- ${tolerance[$job]}"
    fi
    resumed=$((resumed + had))
    printf '%s seed %d:%s, %d with a checkpoint: code %d, %d s, %s %s, examples %s, done again %s: %s\n' "$job" "$seed" \
        "$faults" "$had" "$code" $((SECONDS - ${began:-$SECONDS})) "${metric[$job]}" "$value" "$examples" \
        "$(field "$output" repeated_examples)" "$verdict"
    if [[ $verdict == right ]]; then good=$((good + 1)); else
        bad=$((bad + 1))
        sed 's/^/    /' "$output.err" | tail -n 20
    fi
    pkill -KILL -f "^$ASGD train .*$folder/model" 2>/dev/null
}

declare -A mean=() tolerance=()
jobs=(clicks digits)
[[ $JOB == both ]] || jobs=("$JOB")
for job in "${jobs[@]}"; do
    bases=$folder/$job-$PROCESSES.bases
    touch "$bases"
    for ((i = $(wc -l <"$bases"); i < BASES; i++)); do
        seed=$((1000 + i))
        launch "$job" "$folder/base.json" || {
            echo "the undisturbed run of $job failed:"
            cat "$folder/base.json.err"
            exit 1
        }
        field "$folder/base.json" "${metric[$job]}" >>"$bases"
    done
    read -r "mean[$job]" "tolerance[$job]" < <(awk '{ n++; a += $1; b += $1 * $1 }
        END { a /= n; v = n > 1 ? (b - n * a * a) / (n - 1) : 0; printf "%.5f %.5f\n", a, 4 * sqrt(v > 0 ? v : 0) }' "$bases")
    echo "$job, $(wc -l <"$bases") undisturbed: ${metric[$job]} ${mean[$job]} +- ${tolerance[$job]}"
done
for ((run = 0; run < runs; run++)); do
    seed=$((seed0 + run)) drawn=0
    one_run "${jobs[$((run % ${#jobs[@]}))]}"
done
echo "$kills kills, $first of them of the first process; $resumed went on from a checkpoint"
echo "$good right, $bad wrong"
((bad == 0))
