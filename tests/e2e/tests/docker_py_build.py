"""docker-py's builds, with all arguments; argv[1] is the socket, argv[2] an empty directory, argv[3] a tar's URL."""
import gzip
import io
import os
import sys
import tarfile

import docker

client = docker.DockerClient(base_url="unix://" + sys.argv[1], timeout=120)
root = sys.argv[2]


def write(name, text):
    with open(os.path.join(root, name), "w") as file:
        file.write(text)


write("a", "from the context\n")
write("left-out", "x")
write(".dockerignore", "left-out\n")
write(
    "Other.Dockerfile",
    """FROM busybox AS base
ARG WHO=nobody
RUN echo $WHO > /who
RUN grep there /etc/hosts > /hosts; df -k /dev/shm | tail -n1 | awk '{print $2}' > /shm; ls /sys/class/net > /net
COPY . /c
FROM base AS wanted
FROM base AS unwanted
RUN false
""",
)
image, log = client.images.build(
    path=root, dockerfile="Other.Dockerfile", tag="py:1", quiet=False, nocache=True, rm=True, forcerm=True, pull=False,
    buildargs={"WHO": "docker-py"}, shmsize=32 << 20, labels={"made": "by docker-py"}, cache_from=["busybox"],
    target="wanted", network_mode="none", extra_hosts={"there": "10.1.2.3"}, platform="linux/amd64", gzip=True,
    isolation="default", use_config_proxy=True,
    container_limits={"memory": 64 << 20, "memswap": 128 << 20, "cpushares": 512, "cpusetcpus": "0"},
)
log = list(log)
text = "".join(line.get("stream", "") for line in log)
assert text.startswith("Step 1/") or "\nStep 1/" in text, text
assert "Successfully built " + image.short_id.split(":")[1] in text and "Successfully tagged py:1" in text, text
assert [line["aux"]["ID"] for line in log if "aux" in line] == [image.id], log
assert image.tags == ["py:1"] and image.labels["made"] == "by docker-py"


def inside(name, line):
    return client.containers.run(name, ["sh", "-c", line], remove=True, network_disabled=True).decode()


said = inside("py:1", "cat /who /hosts /shm /net; ls /c")
assert said == "docker-py\n10.1.2.3\tthere\n32768\nlo\nOther.Dockerfile\na\n", said

image, _ = client.images.build(fileobj=io.BytesIO(b"FROM py:1\nENV A=b\n"), quiet=True)
assert "A=b" in image.attrs["Config"]["Env"]

archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    for name, content in [("Dockerfile", b"FROM py:1\nCOPY b /b\n"), ("b", b"packed\n")]:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
packed = io.BytesIO(gzip.compress(archive.getvalue()))
client.images.build(fileobj=packed, custom_context=True, encoding="gzip", tag="py:2")
assert inside("py:2", "cat /b") == "packed\n"

# The engine gets it.
client.images.build(path=sys.argv[3], tag="py:3", dockerfile="Dockerfile")
assert inside("py:3", "cat /web") == "over the web\n"

try:
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo said; exit 7\n"))
    raise AssertionError("a build that fails is no success")
except docker.errors.BuildError as error:
    assert error.msg == "The command '/bin/sh -c echo said; exit 7' returned a non-zero code: 7", error.msg
    assert any("said" in line.get("stream", "") for line in error.build_log)
detail = list(client.api.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 9\n"), decode=True))[-1]
assert detail["errorDetail"]["code"] == 9 and detail["error"] == detail["errorDetail"]["message"], detail

for arguments, status, text in [
    (dict(squash=True), 400, "squash is only supported with experimental mode"),
    (dict(isolation="hyperv"), 400, 'unsupported isolation: "hyperv"'),
    (dict(platform="no/such/thing/x"), 400, "no/such/thing/x"),
    (dict(target="nope"), 400, "target stage \"nope\" could not be found"),
    (dict(tag="NO"), 400, "invalid reference format"),
]:
    try:
        list(client.api.build(fileobj=io.BytesIO(b"FROM busybox\n"), decode=True, **arguments))
        raise AssertionError(arguments)
    except docker.errors.APIError as error:
        assert error.status_code == status and text in error.explanation, (arguments, error.explanation)
try:
    list(client.api.build(fileobj=io.BytesIO(b"FORM busybox\n")))
    raise AssertionError("a wrong word was not told of")
except docker.errors.APIError as error:
    assert error.status_code == 400 and "did you mean FROM?" in error.explanation, error.explanation

# What BuildKit's clients ask without a session is answered; with one it is told that there is none.
url = client.api._url("/build")
answer = client.api._post(url, params={"version": "2", "t": "py:4"}, data=archive.getvalue(), stream=True)
lines = list(client.api._stream_helper(answer, decode=True))
assert [line["aux"]["ID"] for line in lines if line.get("id") == "moby.image.id"] == [client.images.get("py:4").id], lines
answer = client.api._post(url, params={"version": "2", "remote": "client-session", "session": "x"})
assert answer.status_code == 501 and "session" in answer.json()["message"], answer.text
assert client.api._post(client.api._url("/build/cancel"), params={"id": "x"}).status_code in (200, 204)
print("done")
