"""What docker-py does with an engine; argv[1] is the socket. Ends with 0 when all of it is as it should be."""
import io
import sys
import tarfile

import docker

client = docker.DockerClient(base_url="unix://" + sys.argv[1])
assert client.ping()
assert client.images.pull("busybox", tag="latest").tags == ["busybox:latest"]
assert client.containers.run("busybox", ["echo", "from docker-py"], remove=True) == b"from docker-py\n"

reader = client.containers.run(
    "busybox", ["sh", "-c", "read x; echo got $x; exit 3"], detach=True, stdin_open=True, name="reader"
)
socket = reader.attach_socket(params={"stdin": 1, "stream": 1})
socket._sock.sendall(b"typed\n")
assert reader.wait()["StatusCode"] == 3
assert reader.logs() == b"got typed\n"
reader.reload()
assert reader.status == "exited" and reader.attrs["State"]["ExitCode"] == 3

box = client.containers.run(
    "busybox", "sleep 1000", detach=True, ports={"80/tcp": 8085}, environment={"A": "b"}, labels=["mine"],
    volumes={"pv": {"bind": "/v", "mode": "rw"}}, mem_limit="64m",
)
assert b"A=b" in box.exec_run("env").output
assert box.exec_run(["sh", "-c", "exit 4"]).exit_code == 4
assert box.exec_run("echo x", demux=True).output == (b"x\n", None)
assert box.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
assert box.top()["Titles"][:2] == ["UID", "PID"]

archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    member = tarfile.TarInfo("f")
    member.size = 2
    tar.addfile(member, io.BytesIO(b"hi"))
assert box.put_archive("/v", archive.getvalue())
assert box.exec_run("cat /v/f").output == b"hi"
pieces, stat = box.get_archive("/v/f")
with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
    assert stat["name"] == "f" and tar.extractfile("f").read() == b"hi"

assert sorted(n.name for n in client.networks.list()) == ["bridge", "host", "none"]
assert [c.id for c in client.containers.list(filters={"label": "mine"})] == [box.id]
network = client.networks.create("pn")
network.connect(box)
box.reload()
assert sorted(box.attrs["NetworkSettings"]["Networks"]) == ["bridge", "pn"]
network.disconnect(box)
network.remove()

box.pause()
box.unpause()
box.rename("renamed")
box.restart(timeout=0)
box.stop(timeout=0)
box.remove(v=True)
reader.remove()
assert [v.name for v in client.volumes.list()] == ["pv"]
client.volumes.get("pv").remove()
try:
    client.containers.get("nope")
    raise AssertionError("a container that is not there was found")
except docker.errors.NotFound as error:
    assert error.explanation == "No such container: nope", error.explanation
print("done")
