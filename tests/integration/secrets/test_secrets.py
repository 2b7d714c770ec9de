"""Secrets and configs without a swarm: over the API, by both clients, in containers, and on the disk."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import Engine

pytestmark = pytest.mark.root
WORD = "correct-horse-battery-staple"
PLURALS = ("secrets", "configs")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("secrets")) as running:
        engines.import_busybox(running)
        yield running


@pytest.fixture(autouse=True)
def empty(engine: Engine) -> Iterator[None]:
    yield
    engine.remove_all()
    for plural in PLURALS:
        for found in engine.api("GET", f"/{plural}"):
            engine.api("DELETE", f"/{plural}/{found['ID']}")


def ask(engine: Engine, method: str, path: str, body: object = None) -> tuple[int, Any]:
    status, text = engine.request(method, path, body)
    return status, json.loads(text) if text else None


def make(engine: Engine, name: str, data: bytes | str = WORD, plural: str = "secrets", **labels: str) -> str:
    data = data.encode() if isinstance(data, str) else data
    body = {"Name": name, "Data": base64.b64encode(data).decode(), "Labels": labels}
    return str(engine.api("POST", f"/{plural}/create", body)["ID"])


def create(engine: Engine, command: list[str], **more: object) -> str:
    host = {key: more.pop(key) for key in ("Secrets", "Configs", "Binds", "RestartPolicy") if key in more}
    body = {"Image": engines.BUSYBOX, "Cmd": command, "HostConfig": host, **more}
    return str(engine.api("POST", "/containers/create", body)["Id"])


def output(engine: Engine, command: str, **more: object) -> str:
    cid = create(engine, ["sh", "-c", command], **more)
    engine.api("POST", f"/containers/{cid}/start")
    engine.api("POST", f"/containers/{cid}/wait")
    return engine.docker("logs", cid)


# --- the API ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plural", PLURALS)
def test_made_shown_changed_and_removed(engine: Engine, plural: str) -> None:
    id = make(engine, "one", plural=plural, a="b")
    assert re.fullmatch("[0-9a-z]{25}", id)
    for reference in (id, "one", id[:10]):
        found = engine.api("GET", f"/{plural}/{reference}")
        assert (found["ID"], found["Version"], found["Spec"]["Name"]) == (id, {"Index": 1}, "one")
    assert found["Spec"]["Labels"] == {"a": "b"} and found["CreatedAt"] == found["UpdatedAt"]
    assert found["Spec"].get("Data") == (
        base64.b64encode(WORD.encode()).decode() if plural == "configs" else None
    )
    engine.api("POST", f"/{plural}/{id}/update?version=1", {"Name": "one", "Labels": {"c": "d"}})
    after = engine.api("GET", f"/{plural}/one")
    assert after["Version"] == {"Index": 2} and after["Spec"]["Labels"] == {"c": "d"}
    assert after["UpdatedAt"] > after["CreatedAt"] == found["CreatedAt"]
    assert engine.request("DELETE", f"/{plural}/one")[0] == 204
    assert ask(engine, "GET", f"/{plural}/one") == (404, {"message": f"{plural[:-1]} one not found"})
    assert ask(engine, "DELETE", f"/{plural}/one")[0] == 404


@pytest.mark.parametrize("plural", PLURALS)
def test_filters(engine: Engine, plural: str) -> None:
    ids = {name: make(engine, name, plural=plural, **labels) for name, labels in (
        ("first", {"a": "1"}), ("first-too", {"a": "2", "b": ""}), ("second", {}))}  # fmt: skip

    def names(**filters: list[str]) -> list[str]:
        path = f"/{plural}?filters={json.dumps(filters).replace(' ', '')}"
        return [found["Spec"]["Name"] for found in engine.api("GET", path)]

    assert names() == ["first", "first-too", "second"]
    assert names(name=["first"]) == ["first", "first-too"]
    assert names(names=["first"]) == ["first"]
    assert names(names=["first", "second"]) == ["first", "second"]
    assert names(id=[ids["second"][:8]]) == ["second"]
    assert names(label=["a"]) == ["first", "first-too"]
    assert names(label=["a=2"]) == ["first-too"]
    assert names(label=["a", "b"]) == ["first-too"]
    assert names(name=["first"], label=["b"]) == ["first-too"]
    assert names(name=["nothing"]) == []
    path = f'/{plural}?filters={{"mode":["x"]}}'
    assert ask(engine, "GET", path) == (400, {"message": "invalid filter 'mode'"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name must be provided"),
        ({"Name": "-x", "Data": "eA=="}, "invalid name, only 64"),
        ({"Name": "a/b", "Data": "eA=="}, "'a/b'"),
        ({"Name": "x\n", "Data": "eA=="}, "invalid name, only 64"),
        ({"Name": "x" * 65, "Data": "eA=="}, "invalid name, only 64"),
        ({"Name": "x"}, "data must be larger than 0 and less than"),
        ({"Name": "x", "Data": "?"}, "invalid JSON"),
        ({"Name": "x", "Data": "eA==", "Driver": {"Name": "vault"}}, "drivers"),
        (
            {"Name": "x", "Data": "eA==", "Templating": {"Name": "golang"}},
            "this engine has no template drivers",
        ),
    ],
)
@pytest.mark.parametrize("plural", PLURALS)
def test_what_is_refused(engine: Engine, plural: str, body: dict[str, object], message: str) -> None:
    status, answer = ask(engine, "POST", f"/{plural}/create", body)
    assert status == 400 and message in answer["message"]


@pytest.mark.parametrize(("plural", "limit"), [("secrets", 512000), ("configs", 1024000)])
def test_sizes(engine: Engine, plural: str, limit: int) -> None:
    make(engine, "large", bytes(limit - 1), plural)
    body = {"Name": "larger", "Data": base64.b64encode(bytes(limit)).decode()}
    status, answer = ask(engine, "POST", f"/{plural}/create", body)
    assert status == 400 and f"larger than 0 and less than {limit} bytes" in answer["message"]
    key = "Secrets" if plural == "secrets" else "Configs"
    reference = {f"{key[:-1]}Name": "large", "File": {"Name": "/large"}}
    assert output(engine, "wc -c /large", **{key: [reference]}).split()[0] == str(limit - 1)


@pytest.mark.parametrize("plural", PLURALS)
def test_updates_that_are_refused(engine: Engine, plural: str) -> None:
    make(engine, "one", plural=plural)
    path = f"/{plural}/one/update"
    same = base64.b64encode(WORD.encode()).decode()
    only_labels = (400, {"message": "only updates to Labels are allowed"})
    assert ask(engine, "POST", f"{path}?version=1", {"Name": "two"}) == only_labels
    assert ask(engine, "POST", f"{path}?version=1", {"Name": "one", "Data": "eA=="}) == only_labels
    assert ask(engine, "POST", path, {"Name": "one"})[0] == 400
    assert ask(engine, "POST", f"{path}?version=x", {"Name": "one"})[0] == 400
    assert ask(engine, "POST", f"{path}?version=7", {"Name": "one"}) == (
        500,
        {"message": "update out of sequence"},
    )
    assert ask(engine, "POST", f"/{plural}/no/update?version=1", {"Name": "no"})[0] == 404
    assert ask(engine, "POST", f"{path}?version=1", {"Name": "one", "Data": same})[0] == 200


def test_a_name_is_taken_once_of_each_kind(engine: Engine) -> None:
    make(engine, "one")
    make(engine, "one", plural="configs")
    status, answer = ask(engine, "POST", "/secrets/create", {"Name": "one", "Data": "eA=="})
    assert (status, answer) == (409, {"message": "secret one already exists"})


def test_events(engine: Engine) -> None:
    since = time.time()
    id = make(engine, "told")
    engine.api("POST", f"/secrets/{id}/update?version=1", {"Name": "told"})
    engine.api("DELETE", f"/secrets/{id}")

    def told(filters: str) -> list[Any]:
        path = f"/events?since={since:.9f}&until={time.time():.9f}&filters={filters}"
        return [json.loads(line) for line in engine.request("GET", path)[1].splitlines()]

    events = told('{"type":["secret"]}')
    assert [event["Action"] for event in events] == ["create", "update", "remove"]
    assert all((e["Actor"]["ID"], e["Actor"]["Attributes"]["name"]) == (id, "told") for e in events)
    assert told('{"secret":["told"]}') == events
    assert told('{"secret":["told"],"type":["config"]}') == told('{"secret":["other"]}') == []


def test_services_are_still_a_swarms(engine: Engine) -> None:
    assert ask(engine, "GET", "/services")[0] == 503


def test_they_are_in_the_description(engine: Engine) -> None:
    described = engine.api("GET", "/openapi.json")
    host = described["components"]["schemas"]["HostConfig"]["allOf"][-1]["properties"]
    assert set(host["Secrets"]["items"]["properties"]) == {"File", "SecretID", "SecretName", "Environment"}
    assert "get" in described["paths"]["/secrets"] and "post" in described["paths"]["/configs/{id}/update"]


# --- the disk -----------------------------------------------------------------------------------------


def found_on_disk(root: Path, word: str) -> str:
    done = subprocess.run(["grep", "-rlaF", word, str(root)], capture_output=True, text=True)
    return done.stdout


def test_sealed_at_rest(engine: Engine) -> None:
    make(engine, "one")
    make(engine, "one", plural="configs")
    both = [{"SecretName": "one"}, {"SecretName": "one", "Environment": "WORD"}]
    cid = create(engine, ["sleep", "1000"], Secrets=both, Configs=[{"ConfigName": "one"}])
    engine.api("POST", f"/containers/{cid}/start")
    assert WORD in engine.docker("exec", cid, "env")
    key = engine.root / "secrets.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.stat().st_size == 32
    for word in (WORD, base64.b64encode(WORD.encode()).decode()):
        assert found_on_disk(engine.root, word) == ""
        assert found_on_disk(engine.exec_root, word) == ""
    assert not [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{cid}/secrets" in line
    ]


def test_a_key_that_is_gone_or_open_is_told(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        make(engine, "one", plural="configs")
        key = engine.root / "secrets.key"
        engine.stop()
        key.chmod(0o644)
        engine.start()
        status, answer = ask(engine, "GET", "/configs/one")
        assert status == 500 and "open to others" in answer["message"] and str(key) in answer["message"]
        key.rename(engine.root / "kept")
        assert "is gone" in ask(engine, "GET", "/configs/one")[1]["message"]
        (fault,) = engine.api("GET", "/system/check")["Faults"]
        assert (fault["Kind"], fault["Object"]) == ("secret-corrupt", "config one")
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)
        assert "cannot be opened with the key" in ask(engine, "GET", "/configs/one")[1]["message"]
        engine.stop()
        (engine.root / "kept").replace(key)
        key.chmod(0o600)
        (engine.root / "secrets.key.1.new").write_bytes(b"half")
        engine.start()
        assert engine.api("GET", "/configs/one")["Spec"]["Data"]
        assert not (engine.root / "secrets.key.1.new").exists()


# --- containers ---------------------------------------------------------------------------------------


def test_files_of_a_container(engine: Engine) -> None:
    make(engine, "one")
    make(engine, "conf", "setting = 1\n", "configs")
    told = output(
        engine,
        "exec 2>&1; stat -c '%n %a %u %g' /run/secrets/one /run/secrets/two /three /conf; cat /three /conf;"
        "grep -c ' /run/secrets/one ro,.* tmpfs ' /proc/self/mountinfo; echo x > /three; chmod 777 /conf",
        Secrets=[
            {"SecretName": "one"},
            {"SecretName": "one", "File": {"Name": "two", "UID": "1000", "GID": "2000", "Mode": 0o400}},
            {"SecretName": "one", "File": {"Name": "/three"}},
        ],
        Configs=[{"ConfigName": "conf"}],
    )
    assert told.splitlines()[:4] == [
        "/run/secrets/one 444 0 0",
        "/run/secrets/two 400 1000 2000",
        "/three 444 0 0",
        "/conf 444 0 0",
    ]
    assert f"{WORD}setting = 1\n1\n" in told and told.count("Read-only file system") == 2


def test_only_its_user_reads_it(engine: Engine) -> None:
    make(engine, "one")
    file = {"Mode": 0o400, "UID": "1000"}
    assert (
        output(engine, "cat /run/secrets/one", User="app", Secrets=[{"SecretName": "one", "File": file}])
        == WORD
    )
    denied = output(
        engine, "cat /run/secrets/one 2>&1", User="1001", Secrets=[{"SecretName": "one", "File": file}]
    )
    assert "Permission denied" in denied


def test_never_in_what_is_told_of_the_container(engine: Engine, tmp_path: Path) -> None:
    make(engine, "one")
    cid = create(
        engine,
        ["sleep", "1000"],
        Secrets=[{"SecretName": "one"}, {"SecretName": "one", "Environment": "WORD"}],
    )
    engine.api("POST", f"/containers/{cid}/start")
    inspected = engine.docker("inspect", cid)
    assert WORD not in inspected
    assert json.loads(inspected)[0]["HostConfig"]["Secrets"][0]["File"]["Name"] == "/run/secrets/one"
    exported = engine.request("GET", f"/containers/{cid}/export")[1]
    assert WORD.encode() not in exported
    with tarfile.open(fileobj=BytesIO(exported)) as tar:
        assert tar.getmember("run/secrets/one").size == 0
    engine.api("POST", f"/commit?container={cid}&repo=committed", {})
    image = engine.api("GET", "/images/committed/json")
    assert "WORD" not in json.dumps(image["Config"])
    assert WORD.encode() not in engine.request("GET", "/images/committed/get")[1]
    assert {"Path": "/run/secrets/one", "Kind": 1} in engine.api("GET", f"/containers/{cid}/changes")
    exec_id = engine.api("POST", f"/containers/{cid}/exec", {"Cmd": ["true"]})["Id"]
    assert WORD not in json.dumps(engine.api("GET", f"/exec/{exec_id}/json"))
    assert WORD not in engine.docker("logs", cid) and WORD not in engine.log


def test_variables_reach_execs_and_give_way_to_none(engine: Engine) -> None:
    make(engine, "one")
    cid = create(
        engine,
        ["sh", "-c", "echo $WORD; sleep 1000"],
        Env=["WORD=plain"],
        Secrets=[{"SecretName": "one", "Environment": "WORD"}],
    )
    engine.api("POST", f"/containers/{cid}/start")
    assert engine.docker("exec", cid, "sh", "-c", "echo $WORD") == f"{WORD}\n"
    engines.until(lambda: engine.docker("logs", cid) == f"{WORD}\n")
    make(engine, "zero", b"a\0b")
    cid = create(engine, ["true"], Secrets=[{"SecretName": "zero", "Environment": "ZERO"}])
    status, answer = ask(engine, "POST", f"/containers/{cid}/start")
    assert status == 400 and "zero byte" in answer["message"]


def test_there_after_restarts(engine: Engine) -> None:
    make(engine, "one")
    cid = create(engine, ["sleep", "1000"], Secrets=[{"SecretName": "one"}], RestartPolicy={"Name": "always"})
    engine.api("POST", f"/containers/{cid}/start")

    def read() -> str:
        return engine.docker("exec", cid, "cat", "/run/secrets/one")

    engine.kill()
    engine.start()
    assert read() == WORD
    engine.api("POST", f"/containers/{cid}/restart?t=0")
    assert read() == WORD
    engine.stop()
    engine.start()
    assert read() == WORD


def own_mounts(engine: Engine, place: Path) -> list[str]:
    """What is mounted in the engine's directories and in `place`; others' mounts come and go."""
    places = (str(place), str(engine.root), str(engine.exec_root))
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if any(one in line for one in places)]


def test_nothing_of_it_reaches_the_hosts_mounts(engine: Engine, tmp_path: Path) -> None:
    """A shared bind keeps the container's mounts peers of the host's: not those of secrets."""
    make(engine, "one")
    (tmp_path / "shared").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "shared")], check=True)
    try:
        subprocess.run(["mount", "--make-rshared", str(tmp_path / "shared")], check=True)
        before = own_mounts(engine, tmp_path)
        for mode in ("rshared", "rslave", "rprivate"):
            bind = f"{tmp_path}/shared:/shared:{mode}"
            cid = create(engine, ["sleep", "1000"], Secrets=[{"SecretName": "one"}], Binds=[bind])
            engine.api("POST", f"/containers/{cid}/start")
            assert engine.docker("exec", cid, "cat", "/run/secrets/one") == WORD
            assert own_mounts(engine, tmp_path) == before
    finally:
        engine.remove_all()
        subprocess.run(["umount", "-l", str(tmp_path / "shared")], check=True)


def test_cp_sees_what_the_container_sees(engine: Engine, tmp_path: Path) -> None:
    """Who may copy may run `cat` in it as well; once it has ended there is an empty file."""
    make(engine, "one")
    cid = create(engine, ["sleep", "1000"], Secrets=[{"SecretName": "one"}])
    engine.api("POST", f"/containers/{cid}/start")
    engine.docker("cp", f"{cid}:/run/secrets/one", str(tmp_path / "copied"))
    assert (tmp_path / "copied").read_text() == WORD
    assert engine.run("docker", "cp", "/etc/hostname", f"{cid}:/run/secrets/one", check=False).returncode != 0
    assert engine.docker("exec", cid, "cat", "/run/secrets/one") == WORD
    engine.api("POST", f"/containers/{cid}/stop?t=0")
    engine.docker("cp", f"{cid}:/run/secrets/one", str(tmp_path / "later"))
    assert (tmp_path / "later").read_bytes() == b""


def test_in_use(engine: Engine) -> None:
    id = make(engine, "one")
    make(engine, "one", plural="configs")
    body = {
        "Image": engines.BUSYBOX,
        "HostConfig": {"Secrets": [{"SecretID": id}], "Configs": [{"ConfigName": "one"}]},
    }
    engine.api("POST", "/containers/create?name=holder", body)
    status, answer = ask(engine, "DELETE", "/secrets/one")
    assert (status, answer["message"]) == (400, "secret 'one' is in use by the following container: holder")
    assert ask(engine, "DELETE", "/configs/one")[0] == 400
    engine.api("DELETE", "/containers/holder")
    assert engine.request("DELETE", "/secrets/one")[0] == 204


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"Secrets": [{"SecretName": "none"}]}, "secret none not found"),
        ({"Configs": [{"ConfigName": "one"}]}, "config one not found"),
        ({"Secrets": [{}]}, "neither id nor name"),
        ({"Secrets": [{"SecretName": "one"}] * 2}, "Duplicate mount point: /run/secrets/one"),
        ({"Secrets": [{"SecretName": "one"}], "Binds": ["/tmp:/run/secrets/one"]}, "Duplicate mount point"),
        ({"Secrets": [{"SecretName": "one", "File": {"Name": "../../etc/passwd"}}]}, "invalid target"),
        ({"Secrets": [{"SecretName": "one", "File": {"Name": "/"}}]}, "invalid target"),
        ({"Secrets": [{"SecretName": "one", "File": {"UID": "root"}}]}, "invalid uid 'root'"),
        ({"Secrets": [{"SecretName": "one", "File": {"GID": "4294967295"}}]}, "invalid gid"),
        ({"Secrets": [{"SecretName": "one", "File": {"Mode": 0o10000}}]}, "invalid mode"),
        ({"Secrets": [{"SecretName": "one", "File": {}, "Environment": "A"}]}, "exclude one another"),
        ({"Secrets": [{"SecretName": "one", "Environment": "A=B"}]}, "invalid name of a variable"),
        ({"Secrets": [{"SecretName": "one", "Environment": "A"}] * 2}, "two secrets are to be the"),
    ],
)  # fmt: skip
def test_references_that_are_wrong(engine: Engine, host: dict[str, object], message: str) -> None:
    make(engine, "one")
    status, answer = ask(engine, "POST", "/containers/create", {"Image": engines.BUSYBOX, "HostConfig": host})
    assert status == 400 and message in answer["message"]
    assert engine.api("GET", "/containers/json?all=1") == []


# --- the clients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", ["secret", "config"])
def test_both_clients_say_the_same(engine: Engine, noun: str, tmp_path: Path, docker_client: str) -> None:
    file = tmp_path / "data"
    file.write_text(WORD)
    made = engine.run("docker", noun, "create", "-l", "a=b", "one", str(file)).stdout
    again = engine.run("onggi", noun, "create", "-l", "c", "two", "-", stdin=b"from stdin").stdout
    assert re.fullmatch("[0-9a-z]{25}\n", made) and re.fullmatch("[0-9a-z]{25}\n", again)
    for arguments in (  # one label each: docker's client writes several in any order
        ("ls", "-q"), ("ls", "--format", '{{.ID}} {{.Name}} {{.Labels}} {{.Label "a"}}'),
        ("ls", "-q", "-f", "name=one"), ("ls", "-f", "nonsense=x"), ("inspect", "one", "two"),
        ("inspect", "--pretty", "one", "two"), ("inspect", "-f", "{{.Spec.Name}} {{json .Spec}}", "one"),
        ("inspect", "-f", "{{.Spec.Data}}" if noun == "config" else "{{.Spec.Labels}}", "one"),
        ("inspect", "-f", "pretty x", "one"), ("inspect", "none"), ("inspect", "--pretty", "one", "none"),
        ("create", "one", str(file)), ("create", "x", "/no/such/file"), ("create", "x", str(tmp_path)),
        ("rm", "none"),
    ):  # fmt: skip
        docker, ours = (
            engine.run("docker", noun, *arguments, check=False),
            engine.run("onggi", noun, *arguments, check=False),
        )
        assert (ours.stdout, ours.stderr, ours.returncode) == (
            docker.stdout,
            docker.stderr,
            docker.returncode,
        )
    docker, ours = engine.run("docker", noun, "ls"), engine.run("onggi", noun, "ls")
    assert ours.stdout.splitlines()[0].split() == docker.stdout.splitlines()[0].split()
    inspected = engine.run("docker", "inspect", "--type", noun, "one").stdout
    assert (
        inspected == engine.run("onggi", "inspect", "--type", noun, "one").stdout
        and '"Name": "one"' in inspected
    )
    assert engine.run("onggi", noun, "rm", "one", "two").stdout == "one\ntwo\n"


def test_flags_of_run(engine: Engine) -> None:
    make(engine, "one")
    make(engine, "conf", "c", "configs")
    run = ("run", "--rm", "--secret", "one", "--secret", "source=one,target=two,mode=0400,uid=7,gid=8")
    run += ("--secret", "one,type=env,target=WORD", "--config", "conf,target=/etc/conf", engines.BUSYBOX)
    told = engine.run(
        "onggi",
        *run,
        "sh",
        "-c",
        "echo $WORD; cat /run/secrets/one /etc/conf; stat -c %a.%u.%g /run/secrets/two",
    )
    assert told.stdout == f"{WORD}\n{WORD}c400.7.8\n"
    for wrong, message in (
        ("", "source is required"), ("target=x", "source is required"), ("one,x", "must be a key=value pair"),
        ("one,mode=8", "not an octal number"), ("one,type=disk", "must be mount or env"),
        ("one,type=env,uid=1", "not for secrets of type=env"), ("one,colour=red", "colour"),
    ):  # fmt: skip
        refused = engine.run("onggi", "create", "--secret", wrong, engines.BUSYBOX, check=False)
        assert refused.returncode == 125 and message in refused.stderr
