"""What tests of the command share: a folder to work in, the command as a stranger calls it, and how checks are counted.

A test names what it does in its functions, and ends with `run_tests(first, second, ..)`."""
import json, os, pathlib, shutil, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
TERN = str(pathlib.Path(os.environ.get("TERN_BUILD", HERE.parent / "build")) / "tern")
work = pathlib.Path(tempfile.mkdtemp(prefix="tern-test-"))
counts = {"passed": 0, "failed": 0}


def check(what, good, detail=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print(f"FAILED {what}: {detail}")


def run(*command, **kw):
    """Any program."""
    kw = {"env": dict(os.environ, TERN_THREADS="2"), "timeout": 600, **kw}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, **kw)


def tern(*args, **kw):
    env = dict(os.environ, TERN_THREADS="2", XDG_DATA_HOME=str(work / "home"), XDG_CACHE_HOME=str(work / "cache"), **kw.pop("env", {}))
    return run(TERN, *args, **{"cwd": HERE.parent, "env": env, "timeout": 300, **kw})


def good(*args, status=0, **kw):
    r = tern(*args, **kw)
    check("tern " + " ".join(map(str, args)), r.returncode == status, f"status {r.returncode}: {r.stderr}")
    return r


def bad(status, text, *args, prints=False, **kw):
    """One line on standard error that says `text`, nothing on standard output (prints: what was found out)."""
    r = tern(*args, **kw)
    line = r.stderr.strip().splitlines()[-1] if r.stderr.strip() else ""
    check("tern " + " ".join(map(str, args)),
          r.returncode == status and text in line and line.startswith("tern: ") and bool(r.stdout) == prints,
          f"status {r.returncode} (expected {status}), \"{line}\" lacks \"{text}\"")


def document(*args, **kw):
    """Standard output is exactly one JSON document; status=N: with that one."""
    r = good(*args, "--json", **kw)
    try:
        return json.loads(r.stdout)
    except ValueError as e:
        check("JSON of tern " + " ".join(map(str, args)), False, e)
        return {}


def run_tests(*tests):
    try:
        for test in tests:
            test()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(counts["failed"] > 0)
