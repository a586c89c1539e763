#!/bin/bash
# Starts a Ray cluster inside a SLURM job and gives it an `assay run` command:
#
#     sbatch --nodes=4 slurm.sh my_method.py sgd adam --tier standard
#
# Assay and its environment lie on a file system that all nodes see, as do the results.
# The job ends with the command; submitted again, it continues with what has no record yet.
#SBATCH --job-name=assay
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
# B: the shell alone, which passes it on; without it Ray would get the signal, not the command.
#SBATCH --signal=B:TERM@120

set -euo pipefail
: "${ASSAY_VENV:?set it to the folder of the environment that Assay is installed in}"
: "${ASSAY_RESULTS:=$PWD/assay-results}"
export ASSAY_RESULTS ASSAY_DATA="${ASSAY_DATA:-$HOME/assay-data}"
# Decoded data are mapped into memory: keep them on the node's own disk.
export ASSAY_CACHE="${TMPDIR:-/tmp}/assay-cache-$SLURM_JOB_ID"
export PATH="$ASSAY_VENV/bin:$PATH" RAY_USAGE_STATS_ENABLED=0

# Only who has the token may send work to this cluster.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))
address="$head:$port"

# Each task stays in the foreground (--block), so that SLURM ends Ray with the job.
srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap --export=ALL \
    ray start --head --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" \
    --include-dashboard=false --block &
for _ in $(seq 60); do
    ray status --address "$address" >/dev/null 2>&1 && break
    sleep 2
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
        --exclude="$head" --overlap --export=ALL \
        ray start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi

# The shell passes SLURM's signal on, and `assay run` ends as by Ctrl-C: what is done is recorded.
assay run "$@" --executor ray --address "$address" &
command=$!
trap 'kill -TERM "$command"' TERM
wait "$command" || wait "$command"
