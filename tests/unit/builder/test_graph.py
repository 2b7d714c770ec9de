"""The graph: digests say what a vertex does and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from onggi.builder import graph
from onggi.builder.graph import Bind, CopyAction, Exec, FileOp, Graph, ImageSource, LocalSource, Meta, vertex
from onggi.spec.platform import Platform

LINUX = Platform("linux", "amd64")


def run(*args: str, env: tuple[str, ...] = (), proxy: tuple[tuple[str, str], ...] = ()) -> Exec:
    return Exec(args=args, env=env, mounts=(Bind(target="/", input=0, output=0),), proxy=proxy)


def test_a_digest_covers_op_inputs_and_platform_and_no_meta() -> None:
    base = vertex(ImageSource(reference="docker.io/library/debian:12"), (), LINUX)
    ref = graph.Ref(base.digest)
    first = vertex(run("true"), (ref,), LINUX, Meta(name="[1/2] RUN true"))
    assert vertex(run("true"), (ref,), LINUX, Meta(name="other", ignore_cache=True)).digest == first.digest
    others = {
        vertex(run("false"), (ref,), LINUX).digest,
        vertex(run("true", env=("A=1",)), (ref,), LINUX).digest,
        vertex(run("true"), (None,), LINUX).digest,
        vertex(run("true"), (graph.Ref(base.digest, 1),), LINUX).digest,
        vertex(run("true"), (ref,), Platform("linux", "arm64")).digest,
    }
    assert len(others | {first.digest}) == 6


def test_proxies_are_not_part_of_a_digest() -> None:
    plain = vertex(run("true"), (None,), LINUX)
    proxied = vertex(run("true", proxy=(("http_proxy", "http://user:secret@proxy"),)), (None,), LINUX)
    assert plain.digest == proxied.digest


def test_digests_do_not_change_from_one_release_to_the_next() -> None:
    assert vertex(run("true"), (None,), LINUX).digest == (
        "sha256:846e5556757e52eb9eee7a7b87d050a7474ed1474a316ef4f1796f10a1bbd942"
    )


def test_needed_names_what_a_result_depends_on_inputs_first() -> None:
    made = Graph()
    base = made.add(vertex(ImageSource(reference="a"), (), LINUX))
    unused = made.add(vertex(ImageSource(reference="b"), (), LINUX))
    context = made.add(vertex(LocalSource(name="context"), (), LINUX))
    copy = FileOp((CopyAction(input=0, from_input=1, source="/x", target="/y", output=0),))
    last = made.add(vertex(copy, (base, context), LINUX))
    assert [one.digest for one in made.needed(last)] == [base.vertex, context.vertex, last.vertex]
    assert unused.vertex in made.vertices
    assert made.needed(None) == []


def test_equal_vertices_are_one_and_ignore_cache_wins() -> None:
    made = Graph()
    made.add(vertex(run("true"), (None,), LINUX, Meta(name="first")))
    made.add(vertex(run("true"), (None,), LINUX, Meta(name="second", ignore_cache=True)))
    assert [one.meta.name for one in made] == ["second"]


def test_an_input_has_to_be_there_first() -> None:
    with pytest.raises(KeyError, match="is not in the graph"):
        Graph().add(vertex(run("true"), (graph.Ref("sha256:none"),), LINUX))


def test_vertices_survive_json() -> None:
    one = vertex(run("true"), (None,), LINUX, Meta(name="x"))
    assert msgspec.json.decode(msgspec.json.encode(one), type=graph.Vertex) == one
