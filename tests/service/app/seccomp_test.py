"""The program under packaging/seccomp-ringplane.json. What is not on the list
kills it here, where a container engine would only refuse: nothing that is
missing can go unnoticed. Usage: seccomp_test.py PROGRAM PROFILE COMPILER
sanitizer=[NAME] [unittest's arguments].
"""

import ctypes
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

import serve_test

PROFILE = ""
NUMBERS = {}
EXTRA = []

# What sanitizers call besides.
SANITIZER_CALLS = {
    "": [],
    "address": ["open", "pipe2", "sigaltstack"],
}
IO_URING = ["io_uring_setup", "io_uring_enter", "io_uring_register"]

# linux/seccomp.h, linux/audit.h, linux/bpf_common.h
ALLOW = 0x7FFF0000
KILL = 0x80000000
ERRNO = 0x00050000
EPERM = 1
AUDIT_ARCH_X86_64 = 0xC000003E
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2


def call_numbers(compiler):
    """Names to numbers, from the compiler's headers."""
    text = subprocess.run(
        [compiler, "-dM", "-E", "-x", "c", "-"], input="#include <asm/unistd.h>",
        capture_output=True, text=True, check=True).stdout
    found = re.findall(r"#define __NR_(\w+) (\d+)$", text, re.MULTILINE)
    return {name: int(number) for name, number in found}


def allowed_names():
    with open(PROFILE, encoding="utf-8") as file:
        profile = json.load(file)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert all(s["action"] == "SCMP_ACT_ALLOW" for s in profile["syscalls"])
    return [name for group in profile["syscalls"] for name in group["names"]]


def under_filter(allowed, refused=()):
    """Arguments for Popen: `refused` give EPERM, all but `allowed` kill."""
    code = [(LOAD, 0, 0, 4),
            (JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
            (RETURN, 0, 0, KILL),
            (LOAD, 0, 0, 0)]
    for name in refused:
        code += [(JUMP_IF_EQUAL, 0, 1, NUMBERS[name]),
                 (RETURN, 0, 0, ERRNO | EPERM)]
    for name in allowed:
        if name not in refused:
            code += [(JUMP_IF_EQUAL, 0, 1, NUMBERS[name]),
                     (RETURN, 0, 0, ALLOW)]
    code.append((RETURN, 0, 0, KILL))
    text = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
    libc = ctypes.CDLL(None, use_errno=True)

    def install():
        if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or
                libc.prctl(PR_SET_SECCOMP, FILTER, program) != 0):
            raise OSError(ctypes.get_errno(), "seccomp")
        # Keeps the filter's memory until here.
        return text
    # Else Python closes descriptors once the filter is there.
    return {"preexec_fn": install, "close_fds": False}


class SeccompTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.data = self.folder.name + "/data"
        self.filtered = under_filter(allowed_names() + EXTRA)

    def run_filtered(self, *arguments):
        return serve_test.run(*arguments, **self.filtered)

    def serve(self, *flags, **more):
        serving = serve_test.Serving(self.data, *flags, **more)
        self.addCleanup(serving.close)
        return serving

    def backends(self, serving):
        text = serving.get("/metrics")[1]
        return set(re.findall(
            r'ringplane_loop_backend_info\{.*?backend="(\w+)"', text))

    def test_the_list_is_of_system_calls_each_once(self):
        names = allowed_names()
        self.assertEqual([n for n in names if n not in NUMBERS], [])
        self.assertEqual(len(names), len(set(names)))
        for name in ("ptrace", "mount", "bpf", "setuid", "kexec_load", "unshare",
                     "process_vm_readv", "init_module", "kill"):
            self.assertNotIn(name, names)

    def use(self, backend):
        """Each command, as far as a short life goes."""
        sample = self.folder.name + "/sample"
        done = self.run_filtered("generate", "--users=10", "--events=200",
                                 "--output=" + sample)
        self.assertEqual(done.returncode, 0, done.stderr)
        flags = ["--io_backend=" + backend]
        serving = self.serve("--loops=2", *flags, **self.filtered)
        self.assertEqual(self.backends(serving), {backend})
        done = self.run_filtered("ingest", sample, "--to=" + serving.admin,
                                 *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("200 lines: 200 applied", done.stdout)
        with open(sample, encoding="utf-8") as file:
            did = json.loads(file.readline())["did"]
        self.assertEqual(
            serving.call("GetTimeline", {"actorDid": did, "limit": 5})[0], 200)
        self.assertIsNone(serving.process.poll(), "".join(serving.log))
        # A name to look up.
        node = serving.node.rsplit(":", 1)[1]
        done = self.run_filtered("schema", "--apply", "--cql=localhost:" + node,
                                 *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(serving.stop(), 0, "".join(serving.log))
        done = self.run_filtered(
            "ingest", sample, "--data=" + self.data,
            "--cursor_file=" + self.folder.name + "/cursor", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        # A store that has been written to is opened again.
        serving = self.serve(*flags, **self.filtered)
        self.assertEqual(serving.stop(signal.SIGINT), 0, "".join(serving.log))

    def test_runs_on_io_uring(self):
        self.use("uring")

    def test_runs_on_epoll(self):
        self.use("epoll")

    def test_falls_back_where_io_uring_is_refused(self):
        refuse = under_filter(allowed_names() + EXTRA, IO_URING)
        serving = self.serve("--loops=2", **refuse)
        self.assertEqual(self.backends(serving), {"epoll"})
        self.assertEqual(serving.get("/readyz")[0], 200)
        self.assertEqual(serving.stop(), 0, "".join(serving.log))
        serving.drain.join(serve_test.PATIENCE)
        said = [line for line in serving.log if "backend=" in line]
        self.assertEqual(len(said), 1, "".join(serving.log))
        self.assertIn("seccomp filter denies io_uring_setup", said[0])
        self.assertIn("packaging/seccomp-ringplane.json", said[0])

        for choice in (["--io_backend=uring"], []):
            done = serve_test.run(
                "serve", "--data=" + self.data, *choice, **refuse,
                env={"RINGPLANE_IO_BACKEND": "" if choice else "uring"})
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn("ringplane: serve: io_uring is refused: a seccomp "
                          "filter denies io_uring_setup", done.stderr)


if __name__ == "__main__":
    if os.uname().machine != "x86_64":
        print("the profile is for x86_64")
        sys.exit(77)
    serve_test.PROGRAM, PROFILE, compiler, sanitizer = sys.argv[1:5]
    NUMBERS = call_numbers(compiler)
    EXTRA = SANITIZER_CALLS[sanitizer.removeprefix("sanitizer=")]
    # The leak checker stops its own process with ptrace(2).
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=2)
