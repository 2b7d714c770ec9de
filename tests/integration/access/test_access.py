"""Who may do what on one socket, with real users: the policy file, the audit log, events."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.clients import certificates

pytestmark = pytest.mark.root
ALICE, BOB, CAROL, DAVE, OPERATORS = 4001, 4002, 4003, 4004, 4100
RULES = [
    {"user": str(ALICE), "allow": "own"},
    {"user": str(BOB), "allow": "read"},
    {"group": str(OPERATORS), "allow": "all"},
    {"user": str(DAVE), "allow": "own"},
]
RUN = ("run", "-d", "--network", "none")
SLEEP = (engines.BUSYBOX, "sleep", "1000")
As = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every user can walk to; pytest closes its own again and again."""
    path = Path(tempfile.mkdtemp(prefix="og", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def engine(place: Path) -> Iterator[engines.Engine]:
    (place / "policy.json").write_text(json.dumps({"default": "none", "rules": RULES}))
    flags = ("--access-policy", str(place / "policy.json"), "--audit-log", str(place / "audit.log"))
    with engines.onggi(place, *flags, "--socket-mode", "0666") as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "engine" in request.fixturenames:
        request.getfixturevalue("engine").remove_all()


@pytest.fixture
def as_(engine: engines.Engine) -> As:
    def call(uid: int, *args: str, groups: str = "") -> subprocess.CompletedProcess[str]:
        more = ["--groups", groups] if groups else ["--clear-groups"]
        words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", *more, str(engines.ONGGI)]
        env = {"DOCKER_HOST": engine.host, "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        return subprocess.run([*words, *args], capture_output=True, text=True, env=env, timeout=60)

    return call


def made(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def denied(done: subprocess.CompletedProcess[str], said: str = "access policy") -> None:
    assert done.returncode != 0
    assert said in done.stderr, done.stderr


def test_the_sockets_mode(engine: engines.Engine) -> None:
    assert stat.S_IMODE(os.stat(engine.socket).st_mode) == 0o666


def test_a_reader_reads_and_no_more(engine: engines.Engine, as_: As) -> None:
    jar = made(as_(0, *RUN, *SLEEP))
    assert jar[:12] in made(as_(BOB, "ps"))
    assert made(as_(BOB, "inspect", "-f", "{{.State.Status}}", jar)) == "running"
    made(as_(BOB, "logs", jar))
    made(as_(BOB, "images"))
    for words in (
        ("stop", jar), ("rm", "-f", jar), ("exec", jar, "true"), ("attach", jar), ("run", engines.BUSYBOX),
        ("rmi", engines.BUSYBOX), ("volume", "create", "x"), ("network", "create", "x"),
        ("cp", "/etc/hostname", f"{jar}:/tmp"), ("system", "prune", "-f"), ("commit", jar), ("kill", jar),
    ):  # fmt: skip
        denied(as_(BOB, *words))
    assert engine.api("GET", f"/containers/{jar}/json")["State"]["Running"]
    made(as_(0, "rm", "-f", jar))


def test_an_owner_has_his_own(engine: engines.Engine, as_: As) -> None:
    roots, daves = made(as_(0, *RUN, "--name", "roots", *SLEEP)), made(as_(DAVE, *RUN, *SLEEP))
    mine = made(as_(ALICE, *RUN, "--name", "mine", *SLEEP))
    assert made(as_(ALICE, "ps", "-q", "--no-trunc")) == mine
    assert made(as_(ALICE, "exec", "mine", "echo", "in")) == "in"
    made(as_(ALICE, "cp", "/etc/hostname", "mine:/tmp/hostname"))
    made(as_(ALICE, "rename", "mine", "still-mine"))
    for other in (roots, daves, "roots"):
        for words in (("inspect", other), ("rm", other), ("exec", other, "true"), ("logs", other)):
            done = as_(ALICE, *words)
            assert done.returncode != 0
            assert "No such" in done.stderr, (words, done.stderr)
    for words in (
        ("rmi", engines.BUSYBOX), ("volume", "create", "x"), ("network", "create", "x"),
        ("system", "prune", "-f"), ("commit", "still-mine", "evil:1"), ("volume", "ls"),
        ("tag", engines.BUSYBOX, "evil:1"),
        ("system", "df"), ("import", "/etc/hostname", "evil:1"), ("container", "prune", "-f"),
    ):  # fmt: skip
        denied(as_(ALICE, *words))
    made(as_(ALICE, "rm", "-f", "still-mine"))
    made(as_(0, "rm", "-f", roots, daves))


@pytest.mark.parametrize(
    "flags",
    [
        ("--privileged",), ("-v", "/:/host"), ("-v", "named:/x"), ("--mount", "type=bind,src=/,dst=/host"),
        ("--pid", "host"), ("--ipc", "host"), ("--uts", "host"), ("--userns", "host"), ("--network", "host"),
        ("--cap-add", "SYS_ADMIN"), ("--device", "/dev/kmsg"), ("--device-cgroup-rule", "a *:* rwm"),
        ("--security-opt", "seccomp=unconfined"), ("--security-opt", "apparmor=unconfined"),
        ("--security-opt", "systempaths=unconfined"), ("--cgroup-parent", "/"), ("--cgroupns", "host"),
        ("--volumes-from", "roots"), ("--network", "container:roots"), ("--pid", "container:roots"),
        ("--ipc", "container:roots"), ("--link", "roots"), ("--sysctl", "net.ipv4.ip_forward=1"),
        ("--oom-score-adj", "-900"), ("--userns", "auto:uidmapping=0:0:1"), ("-p", "80:80"),
        ("--runtime", "runsc"), ("--runtime", "runc", "--annotation", "a=b"), ("--gpus", "all"),
        ("--userns", "keep-id:uid=0"),
        ("--security-opt", "writable-cgroups=true"), ("--secret", "x"),
    ],
    ids=lambda flags: " ".join(flags),
)  # fmt: skip
def test_an_owner_gets_nothing_that_reaches_beyond_his_container(
    engine: engines.Engine, as_: As, flags: tuple[str, ...]
) -> None:
    made(as_(0, *RUN, "--name", "roots", *SLEEP))
    try:
        done = as_(ALICE, "create", *flags, *SLEEP)
        assert done.returncode != 0, flags
        assert not made(as_(ALICE, "ps", "-aq"))
        if "--gpus" not in flags and "--secret" not in flags:
            assert "access policy" in done.stderr or "No such" in done.stderr, done.stderr
    finally:
        made(as_(0, "rm", "-f", "roots"))


VOLUME = {"Type": "volume", "Source": "v", "Target": "/v"}
RAW = """
import http.client, json, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(sys.argv[1])
connection = Unix("x")
connection.request(sys.argv[2], sys.argv[3], sys.argv[4] or None, {"Content-Type": "application/json"})
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


def raw(engine: engines.Engine, uid: int, method: str, path: str, body: object = None) -> tuple[int, str]:
    """A request as no client sends it."""
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-c", RAW]
    text = "" if body is None else json.dumps(body)
    done = subprocess.run(
        [*words, engine.socket, method, path, text], capture_output=True, text=True, timeout=60
    )
    status, _, answer = done.stdout.partition(" ")
    return int(status), answer


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1.24/containers/create", {"HostConfig": {"Binds": ["/:/host"]}}),
        ("POST", "/containers/create", {"HostConfig": {"MaskedPaths": []}}),
        ("POST", "/containers/create", {"HostConfig": {"ReadonlyPaths": []}}),
        ("POST", "/containers/create", {"HostConfig": {"VolumeDriver": "local", "Binds": ["a:/b"]}}),
        ("POST", "/containers/create", {"NetworkingConfig": {"EndpointsConfig": {"host": {}}}}),
        ("POST", "/containers/create", {"HostConfig": {"Mounts": [VOLUME]}}),
        ("POST", "/containers/create", {"HostConfig": {"Mounts": [{**VOLUME, "Type": "image"}]}}),
        ("POST", "/build?t=x", None), ("POST", "/session", None), ("POST", "/grpc", None),
        ("POST", "/images/create?fromSrc=-&repo=x", None), ("POST", "/images/load", None),
        ("DELETE", "/images/busybox:test", None), ("POST", "/volumes/prune", None),
        ("POST", "/system/check", None), ("GET", "/system/df", None), ("GET", "/volumes", None),
        ("GET", "/networks", None), ("GET", "/secrets", None),
    ],
)  # fmt: skip
def test_an_owners_raw_requests(engine: engines.Engine, method: str, path: str, body: object) -> None:
    if isinstance(body, dict):
        body = {"Image": engines.BUSYBOX, **body}
    status, answer = raw(engine, ALICE, method, path, body)
    assert status in (400, 403), (status, answer)
    assert engine.api("GET", "/containers/json?all=1") == []


def test_a_volume_of_an_image_is_never_a_bind(engine: engines.Engine) -> None:
    body = {"Image": engines.BUSYBOX, "Volumes": {"/:/host": {}, "named:/other": {}}}
    status, answer = raw(engine, ALICE, "POST", "/containers/create", body)
    assert status == 201
    mounts = engine.api("GET", f"/containers/{json.loads(answer)['Id']}/json")["Mounts"]
    assert {(mount["Type"], len(mount["Name"])) for mount in mounts} == {("volume", 64)}


def test_what_an_owner_may_ask_for(as_: As) -> None:
    flags = (
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "50",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--init",
    )
    more = (
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--userns",
        "auto",
        "-e",
        "A=b",
    )
    made(as_(ALICE, "run", "--rm", "--network", "none", *flags, *more, engines.BUSYBOX, "true"))
    denied(as_(ALICE, "exec", "--privileged", made(as_(ALICE, *RUN, *SLEEP)), "true"), "privileged exec")
    for jar in made(as_(ALICE, "ps", "-aq")).split():
        made(as_(ALICE, "rm", "-f", jar))


def test_groups_and_strangers(engine: engines.Engine, as_: As) -> None:
    denied(as_(CAROL, "ps"))
    denied(as_(CAROL, "version"))
    jar = made(as_(CAROL, *RUN, "--privileged", *SLEEP, groups=str(OPERATORS)))
    made(as_(CAROL, "rm", "-f", jar, groups=str(OPERATORS)))


def test_keep_id_is_who_asks(as_: As, place: Path) -> None:
    """By the socket's credentials, whatever the request says."""
    jar = made(as_(ALICE, *RUN, "--userns", "keep-id", "-u", str(ALICE), *SLEEP))
    pid = int(made(as_(ALICE, "inspect", "-f", "{{.State.Pid}}", jar)))
    assert os.stat(f"/proc/{pid}").st_uid == ALICE
    made(as_(ALICE, "rm", "-f", jar))


def lines(place: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (place / "audit.log").read_text().splitlines()]


def test_the_audit_log_says_who_did_what(engine: engines.Engine, as_: As, place: Path) -> None:
    before = len(lines(place))
    jar = made(as_(ALICE, *RUN, "--name", "audited", "-e", "PASSWORD=hush", *SLEEP))
    denied(as_(BOB, "rm", "-f", "audited"))
    made(as_(BOB, "ps"))
    made(as_(ALICE, "rm", "-f", "audited"))
    found = lines(place)[before:]
    assert stat.S_IMODE((place / "audit.log").stat().st_mode) == 0o600
    said = [(line["caller"]["uid"], line["method"], line["route"], line["status"]) for line in found]  # type: ignore[index]
    assert (ALICE, "POST", "/containers/create", 201) in said
    assert (ALICE, "POST", "/containers/{id}/start", 204) in said
    assert (BOB, "DELETE", "/containers/{id}", 403) in said
    assert (ALICE, "DELETE", "/containers/{id}", 204) in said
    assert not [one for one in said if one[1] == "GET" and one[3] == 200]
    create = next(line for line in found if line["route"] == "/containers/create")
    assert create["asked"] == {"name": "audited"}
    assert create["caller"]["gid"] == ALICE and create["caller"]["pid"] > 1  # type: ignore[index]
    assert "hush" not in (place / "audit.log").read_text()
    assert jar


def test_events_name_the_caller(engine: engines.Engine, as_: As) -> None:
    begin = time.time()
    made(as_(ALICE, "run", "--rm", "--network", "none", engines.BUSYBOX, "true"))
    made(as_(0, "run", "--rm", "--network", "none", engines.BUSYBOX, "true"))
    words = ("events", "--since", f"{begin:.6f}", "--until", f"{time.time():.6f}", "--format", "{{json .}}")
    every = [json.loads(line) for line in made(as_(0, *words)).splitlines()]
    callers = {
        (event["Action"], event["Actor"]["Attributes"].get("caller", "").rpartition(",pid=")[0])
        for event in every
    }
    assert ("create", f"uid={ALICE},gid={ALICE}") in callers
    assert ("create", "uid=0,gid=0") in callers
    assert {who for action, who in callers if action == "die"} == {""}  # nobody asked for that
    seen = [json.loads(line) for line in made(as_(ALICE, *words)).splitlines()]
    assert all(
        event["Actor"]["Attributes"].get("caller", f"uid={ALICE},").startswith(f"uid={ALICE},")
        for event in seen
    )


def test_a_policy_is_read_again(engine: engines.Engine, as_: As, place: Path) -> None:
    assert engine.process is not None
    policy = place / "policy.json"
    before = policy.read_text()
    denied(as_(CAROL, "ps"))
    policy.write_text('{"rules": [{"user": "4003", "allow": "read"}')  # cut off: the old one holds
    engine.process.send_signal(1)
    engines.until(lambda: "the access policy is not reloaded" in engine.log)
    denied(as_(CAROL, "ps"))
    policy.write_text(json.dumps({"rules": [*RULES, {"user": str(CAROL), "allow": "read"}]}))
    engine.process.send_signal(1)
    engines.until(lambda: as_(CAROL, "ps").returncode == 0)
    policy.write_text(before)
    engine.process.send_signal(1)
    engines.until(lambda: as_(CAROL, "ps").returncode != 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Input data was truncated"),
        ('{"rules": [{"user": "nobody-here", "allow": "all"}]}', "rules[0]: no user 'nobody-here' here"),
        (
            '{"rules": [{"user": "0", "group": "0", "allow": "all"}]}',
            "must name one user, group or",
        ),
        ('{"rules": [{"user": "0", "allow": "everything"}]}', "Invalid enum value 'everything'"),
        ('{"default": "all", "rule": []}', "unknown field `rule`"),
    ],
)
def test_a_policy_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "policy.json").write_text(text)
    with (
        pytest.raises(RuntimeError) as caught,
        engines.onggi(tmp_path, "--access-policy", str(tmp_path / "policy.json")),
    ):
        pass
    assert said in str(caught.value)


def test_certificates_are_callers(place: Path) -> None:
    ca = certificates.authority(place / "ca")
    server = certificates.certificate(ca, place / "server", "serverAuth")
    client = certificates.certificate(ca, place / "client", "clientAuth")  # its common name is clientAuth
    (place / "tls.json").write_text(json.dumps({"rules": [{"certificate": "clientAuth", "allow": "read"}]}))
    port = free_port()
    flags = (
        "-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", str(ca),
        "--tlscert", str(server / "cert.pem"),
        "--tlskey", str(server / "key.pem"), "--access-policy", str(place / "tls.json"),
        "--audit-log", str(place / "tls.log"),
    )  # fmt: skip
    (place / "tls").mkdir()
    with engines.onggi(place / "tls", *flags) as engine:
        env = {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(client),
        }
        env |= {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([engines.ONGGI, *words], capture_output=True, text=True, env=env)

        made(run("ps"))
        denied(run("volume", "create", "x"), "name=clientAuth,address=127.0.0.1 may not POST /volumes/create")
        assert engine.answers()
    last = json.loads((place / "tls.log").read_text().splitlines()[-1])
    assert last["caller"] == {"name": "clientAuth", "address": "127.0.0.1"}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
