"""pflag's rules, and the kinds of values, with Docker's words for what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.cli import flags, values
from onggi.cli.errors import CommandError, FlagError
from onggi.cli.options import csv, kinds, mount
from onggi.cli.options.container import RUN_FLAGS
from onggi.cli.ports import expose, publish

ROWS = (
    ("all", "a", "bool", False, "x"),
    ("interactive", "i", "bool", False, "x"),
    ("tty", "t", "bool", False, "x"),
    ("proxy", "", "bool", True, "x"),
    ("publish", "p", "list", None, "x"),
    ("tail", "n", "string", "all", "x"),
    ("count", "c", "int", 0, "x"),
    ("old", "", "alias:tail", None, ""),
)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-it"], "tty", True),
        (["-ti"], "interactive", True),
        (["-p80:80"], "publish", ["80:80"]),
        (["-p=80:80", "-p", "81:81"], "publish", ["80:80", "81:81"]),
        (["-itp", "80"], "publish", ["80"]),
        (["-itp80"], "publish", ["80"]),
        (["--tail=5"], "tail", "5"),
        (["--tail", "5"], "tail", "5"),
        (["--tail="], "tail", ""),
        (["--old", "7"], "tail", "7"),
        (["--proxy=false"], "proxy", False),
        (["--all=1"], "all", True),
        (["-a=false"], "all", False),
        (["--count", "-3"], "count", -3),
        (["--count=0x10"], "count", 16),
        ([], "tail", "all"),
    ],
)
def test_forms(words: list[str], name: str, value: object) -> None:
    found, arguments = flags.parse(ROWS, words)
    assert found[name] == value
    assert arguments == []


def test_arguments_between_flags() -> None:
    assert flags.parse(ROWS, ["x", "-a", "-", "y", "--", "-t"])[1] == ["x", "-", "y", "-t"]
    found, arguments = flags.parse(ROWS, ["-a", "image", "-t", "--help"], interspersed=False)
    assert arguments == ["image", "-t", "--help"]
    assert found.given == {"all"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-ax"], "unknown shorthand flag: 'x' in -x"),
        (["--tail"], "flag needs an argument: --tail"),
        (["-an"], "flag needs an argument: 'n' in -n"),
        (
            ["--all=x"],
            'invalid argument "x" for "-a, --all" flag: strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            ["--count=x"],
            'invalid argument "x" for "-c, --count" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (["---x"], "bad flag syntax: ---x"),
    ],
)
def test_faults(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        flags.parse(ROWS, words)
    assert caught.value.message == message
    assert caught.value.status == 125


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(word: str) -> None:
    with pytest.raises(flags.HelpWanted):
        flags.parse(ROWS, ["x", word])


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_words_parse_or_fail_by_name(words: list[str]) -> None:
    try:
        _, arguments = flags.parse(RUN_FLAGS, words, interspersed=False)
    except (FlagError, flags.HelpWanted):
        return
    assert len(arguments) <= len(words)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("1kb", 1024),
        ("2KiB", 2048),
        ("7b", 7),
        ("1 k", 1024),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert values.size(text) == value


@pytest.mark.parametrize("text", ["", "x", "3x", "-1", "1mm", "k"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid s"):
        values.size(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1s", 10**9), ("1m30s", 90 * 10**9), ("1.5h", 5400 * 10**9), ("-2ms", -2 * 10**6)],
)
def test_durations(text: str, value: int) -> None:
    assert values.duration(text) == value


@pytest.mark.parametrize("text", ["", "5", "x", "1x", "s", "1..2s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="time:"):
        values.duration(text)


@pytest.mark.parametrize(
    ("text", "value"), [("1.5", 1_500_000_000), ("3/2", 1_500_000_000), ("0.000000001", 1), (".5", 5 * 10**8)]
)
def test_cpus(text: str, value: int) -> None:
    assert values.nano_cpus(text) == value


def test_too_precise_cpus() -> None:
    with pytest.raises(ValueError, match="too precise"):
        values.nano_cpus("0.0000000001")


def test_mounts() -> None:
    assert mount.parse("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rslave"},
    }
    found = mount.parse('target=/v,source=name,"volume-opt=o=a,b",volume-nocopy,volume-subpath=s')
    assert found["VolumeOptions"] == {
        "DriverConfig": {"Options": {"o": "a,b"}},
        "NoCopy": True,
        "Subpath": "s",
    }


def test_csv() -> None:
    assert csv.fields('a,"b,""c",') == ["a", 'b,"c', ""]
    with pytest.raises(ValueError, match="quote"):
        csv.fields('a"b')


def test_ports() -> None:
    assert publish(["8080:80", "127.0.0.1::53/udp", "[::1]:90-91:90-91", "70-75:70"])[1] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "90/tcp": [{"HostIp": "::1", "HostPort": "90"}],
        "91/tcp": [{"HostIp": "::1", "HostPort": "91"}],
        "70/tcp": [{"HostIp": "", "HostPort": "70-75"}],
    }
    assert expose(["1-3/udp", "9"]) == ["1/udp", "2/udp", "3/udp", "9/tcp"]
    with pytest.raises(CommandError, match=r"invalid IP address: 1\.2"):
        publish(["1.2:1:2"])


def test_ulimits_and_devices() -> None:
    assert kinds.ulimit("nofile=10:20") == {"Name": "nofile", "Soft": 10, "Hard": 20}
    assert kinds.throttle("/dev/sda:1mb") == {"Path": "/dev/sda", "Rate": 1 << 20}
    assert kinds.gpus("device=GPU-1,driver=nvidia")["DeviceIDs"] == ["GPU-1"]
