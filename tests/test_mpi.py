#!/usr/bin/env python3
"""Links between ranks of MPI, where Open MPI is installed and was found when Tern was built."""
import json, os, shutil

from command import TERN, check, run, run_tests, tern, work

ROOT = dict(os.environ, TERN_THREADS="1", XDG_DATA_HOME=str(work / "home"), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1")


def ranks(n, *args):
    return run("mpirun", "-n", n, "--oversubscribe", "--bind-to", "none", TERN, "probe", "--mpi", *args, env=ROOT, timeout=120)


def links():
    alone = tern("probe", "--mpi", "--only", "links")
    if "built without" in alone.stderr or "made without" in alone.stderr or not shutil.which("mpirun"):
        check("a build without MPI says so", alone.returncode in (1, 2) and "MPI" in alone.stderr, alone.stderr)
        print("skipped: links between ranks need Open MPI (scripts/setup --mpi)")
        return
    check("one rank is too few", alone.returncode == 2 and "found 1: mpirun -n 2" in alone.stderr, alone.stderr)
    r = ranks(2, "--only", "links", "--quick", "--quiet", "--json")
    check("two ranks", r.returncode == 0, r.stderr)
    figures = {f["name"]: f for f in json.loads(r.stdout)["figures"]}
    message = [figures[f"MPI message, {8 ** i} B"]["median"] for i in range(1, 8)]
    total = [figures[f"MPI allreduce, {8 ** i} B"]["median"] for i in range(1, 8)]
    check("times of messages and sums", min(message + total) > 0, (message, total))
    latency, bandwidth = figures["MPI latency"]["median"], figures["MPI bandwidth"]["median"]
    check("a latency and a bandwidth", latency > 0 and bandwidth > 0, (latency, bandwidth))
    check("an answer of rank 0 alone", r.stdout.count('"figures"') == 1)


run_tests(links)
