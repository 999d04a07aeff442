"""What .ci/deploy checks: `replicas`, `units`, `container`, `chart`; all of them without an argument."""

import http.client, json, os, pathlib, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples/deploy"
BINARY = os.environ["KAKUNIN_BINARY"]
MODEL = "sha256:" + "ab" * 32
# A caller who asks again has an answer within this.
RETRIED_S = 3
REFUSED_S = 1


def check(right, what):
    if not right:
        raise SystemExit(f"deploy: {what}")


def said(what):
    print(f"deploy: {what}", flush=True)


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    return done.returncode, done.stdout + done.stderr


def free_ports():
    """The first of five that are free, below those that the system gives to connections."""
    for first in range(20000 + os.getpid() % 1000 * 10, 32000, 10):
        taken = []
        try:
            for port in range(first, first + 5):
                taken.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
        return first
    raise SystemExit("deploy: no five ports in a row are free")


def ask(port, method, path, body=None, key=None, timeout=10):
    """Status and body; OSError or HTTPException where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        fields = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        connection.request(method, path, None if body is None else json.dumps(body), fields)
        answer = connection.getresponse()
        octets = answer.read()
        return answer.status, json.loads(octets) if octets[:1] in (b"{", b"[") else octets
    finally:
        connection.close()


def data(answer, *statuses):
    status, body = answer
    check(status in (statuses or (200, 201)), f"answered {status}: {body}")
    return body["data"]


def until(seconds, what, question):
    """How long it took until this was so."""
    began = time.monotonic()
    while True:
        try:
            if question():
                return time.monotonic() - began
        except (OSError, http.client.HTTPException):
            pass
        check(time.monotonic() - began < seconds, f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Load:
    """Batches of events through nginx, from several callers; each asks again until it is told that all is on record."""

    def __init__(self, port, key, agent, callers=12, size=20):
        self.port, self.key, self.agent, self.size = port, key, agent, size
        self.acknowledged, self.longest, self.again, self.wrong = [], 0.0, 0, []
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.call, args=(n,), daemon=True) for n in range(callers)]
        for thread in self.threads:
            thread.start()

    def call(self, caller):
        number = 0
        while not self.stopped.is_set():
            names = [f"load-{caller}-{number}-{n}" for n in range(self.size)]
            number += 1
            one = lambda name: {"agent_id": self.agent, "action": "read:mail", "outcome": "ok", "client_id": name, "correlation": name}
            began = time.monotonic()
            while True:
                try:
                    status, body = ask(self.port, "POST", "/api/v1/events/batch", {"events": [one(name) for name in names]}, self.key)
                except (OSError, http.client.HTTPException) as error:
                    status, body = 0, repr(error)
                if status in (201, 207):
                    break
                with self.lock:
                    self.again += 1
                    if status not in (0, 502, 503, 504):
                        self.wrong.append((status, body))
                        return
                if time.monotonic() - began > 20:
                    self.wrong.append((status, body))
                    return
                time.sleep(0.1)
            took = time.monotonic() - began
            with self.lock:
                self.longest = max(self.longest, took)
                for name, result in zip(names, body["data"]["results"], strict=True):
                    if result.get("status") not in ("scored", "duplicate"):
                        self.wrong.append((name, result))
                    self.acknowledged.append(name)
            # What is looked at is who loses what, and not how fast it is.
            time.sleep(0.05)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)
        check(not any(thread.is_alive() for thread in self.threads), "a caller is still waiting")
        check(not self.wrong, f"what callers were told: {self.wrong[:3]}")


def standing(port, serial):
    """`active`, `revoked`; nothing where it is not known yet."""
    return ask(port, "GET", f"/api/v1/verify/{serial}")[1].get("data", {}).get("status")


def recorded(port, key, agent):
    """Names of all events of an agent, as often as they are on record."""
    names, cursor = [], "0"
    while cursor is not None:
        status, page = ask(port, "GET", f"/api/v1/events?agent_id={agent}&limit=100&after={cursor}", key=key)
        check(status == 200, f"a list of events is {status}: {page}")
        names += [event["correlation"] for event in page["data"]]
        cursor = page["pagination"].get("next_cursor")
    return names


def certified(port, key, folder, name):
    agent = data(ask(port, "POST", "/api/v1/agents", {"name": name, "model_hash": MODEL, "scope": ["read:mail"]}, key))["id"]
    request = folder / f"{name}.csr"
    status, output = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                         str(folder / f"{name}.key"), "-subj", "/CN=any", "-out", str(request))
    check(status == 0, output)
    certificate = data(ask(port, "POST", f"/api/v1/agents/{agent}/certify", {"csr": request.read_text()}, key))
    return agent, certificate["serial_number"]


def faults(folder):
    """What replicas' logs call an error."""
    lines = [line for log in sorted(folder.glob("replica-*.log")) for line in log.read_text().splitlines()]
    return [line for line in lines if re.search(r" ERROR |panicked", line)]


def streams(port, key, agent):
    """Through nginx: a line of the feed comes when it is written, and each event line is answered before the next is sent."""
    issuer = next(one["key_id"] for one in data(ask(port, "GET", "/api/v1/ca"))["authorities"] if one["role"] == "issuing")
    feed = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    feed.request("GET", f"/api/v1/feed/{issuer}/stream?after=0")
    answer = feed.getresponse()
    line = answer.readline()
    check(answer.status == 200 and line.strip(), f"the feed answers {answer.status}: {line}")
    feed.close()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as lines:
        lines.sendall(f"POST /api/v1/events/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
                      "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        read = b""
        for n in (1, 2, 3):
            event = json.dumps({"agent_id": agent, "action": "read:mail", "outcome": "ok", "client_id": f"line-{n}", "correlation": f"line-{n}"}).encode() + b"\n"
            lines.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            while b'"line":%d' % n not in read:
                octets = lines.recv(4096)
                check(octets, f"the stream of events ended: {read}")
                read += octets
        lines.sendall(b"0\r\n\r\n")
        while b'"end"' not in read:
            octets = lines.recv(4096)
            check(octets, f"the stream of events ended without its last line: {read}")
            read += octets
    said("through nginx the feed comes as it is written, and each event line is answered before the next is sent")


def story(folder, port, deployment):
    replicas = [port + 1, port + 2, port + 3]
    # By the example's own word: it says so when nginx and all three are there.
    until(60, "the example is ready", lambda: deployment.poll() is None and "deploy: ready:" in (folder / "said").read_text()
          or check(deployment.poll() is None, "the example ended by itself"))
    for at in replicas:
        status, ready = ask(at, "GET", "/readyz")
        check(status == 200 and ready["status"] == "ok", f"port {at} is {status}: {ready}")
    check(sum(ask(at, "GET", "/readyz")[1]["on_duty"] for at in replicas) == 1, "not exactly one replica is on duty")
    said(f"three replicas are ready behind port {port}, and one of them is on duty")

    admin = (folder / "deployment/admin.key").read_text().strip()
    data(ask(port, "POST", "/api/v1/tenants", {"id": "acme"}, admin))
    key = data(ask(port, "POST", "/api/v1/api-keys", {"tenant": "acme", "role": "operator", "label": "ci"}, admin))["key"]
    # A replica hears of a new key some milliseconds after the one that made it, and answers 401 until then.
    heard = max(until(1, f"a new key is taken at port {at}", lambda: ask(at, "GET", "/api/v1/agents", key=key)[0] == 200) for at in replicas)
    agent, serial = certified(port, key, folder, "worker")
    for at in replicas:
        until(1, "the certificate is known everywhere", lambda: standing(at, serial) == "active")
    said(f"a tenant, its key, and a certified agent, all through nginx, are known at each replica; the key after {heard * 1000:.0f} ms")

    longest = 0.0
    for n, at in enumerate(replicas):
        for m, other in enumerate(replicas):
            if other != at:
                name = f"own-{n}-{m}"
                event = {"agent_id": agent, "action": "read:mail", "outcome": "ok", "client_id": name, "correlation": name}
                data(ask(at, "POST", "/api/v1/events", event, key))
                took = until(1, f"an event of port {at} is read at {other}", lambda: name in recorded(other, key, agent))
                longest = max(longest, took)
    said(f"what one replica recorded, another reads, after {longest * 1000:.0f} ms at most")

    gone, gone_serial = certified(port, key, folder, "astray")
    data(ask(port, "POST", f"/api/v1/certificates/{gone_serial}/revoke", {"reason": "kill_switch_activated"}, key))
    began = time.monotonic()
    for at in replicas:
        until(REFUSED_S, f"port {at} refuses", lambda: standing(at, gone_serial) == "revoked")
    took = time.monotonic() - began
    check(took < REFUSED_S, f"all refuse after {took:.1f} s only")
    for at in replicas:
        status, body = ask(at, "POST", "/api/v1/events", {"agent_id": gone, "action": "read:mail", "outcome": "ok"}, key)
        check(status == 422 and body["code"] == "agent_not_active", f"port {at} takes an event of a revoked agent: {status} {body}")
    said(f"a revocation is in force at each replica after {took * 1000:.0f} ms")

    streams(port, key, agent)

    load = Load(port, key, agent)
    time.sleep(2)
    before = len(load.acknowledged)
    killed = []
    while not load.again:
        check(len(killed) < 3, "no call was cut off by three kills: is there load?")
        # Whoever has most to lose: the one on duty.
        victim = next(n for n, at in enumerate(replicas, 1) if ask(at, "GET", "/readyz")[1]["on_duty"])
        file = folder / f"deployment/replica-{victim}.pid"
        pid = int(file.read_text())
        os.kill(pid, signal.SIGKILL)
        killed.append(str(victim))
        # By the example, as a service manager would.
        until(20, f"replica {victim}, which was killed, is there again",
              lambda: int(file.read_text()) != pid and ask(port + victim, "GET", "/readyz")[0] == 200)
        until(10, "one replica is on duty again", lambda: sum(ask(at, "GET", "/readyz")[1]["on_duty"] for at in replicas) == 1)
    after = len(load.acknowledged)
    time.sleep(1)
    load.stop()
    check(before and after > before, "no event was acknowledged while a replica was away")
    check(load.longest < RETRIED_S, f"a caller that asked again waited {load.longest:.1f} s")
    said(f"killed replica {', '.join(killed)} under load, and it came again: {load.again} calls were cut off and made again; the longest took {load.longest:.1f} s with that")
    for at in replicas:
        names = [name for name in recorded(at, key, agent) if name.startswith("load-")]
        lost = set(load.acknowledged) - set(names)
        check(not lost and len(names) == len(set(names)), f"port {at}: {len(lost)} acknowledged events are lost, {len(names) - len(set(names))} are there twice")
    said(f"{len(load.acknowledged)} acknowledged events are there once each, at each replica")
    until(10, "all are ready again", lambda: all(ask(at, "GET", "/readyz")[1]["status"] == "ok" for at in replicas))

    place = folder / "deployment"
    status, output = run(BINARY, "log", "verify", "--database-file", str(place / "app.url"), "--seal", f"file:{place}/seal",
                         "--keys", f"local:{place}/keys", "--key-file", str(place / "key.secret"), "--insecure-software-keys", env=clean())
    check(status == 0, f"the logs do not verify: {output}")
    verified = re.findall(r"^(\S+): .*?(\d[\d,]*) records", output, re.M)
    check(any(log == "acme" for log, _ in verified), f"the log of the tenant is not among those that verify: {output}")
    said("the logs verify: " + ", ".join(f"{log} with {records} records" for log, records in verified))


def clean():
    """No variable from outside is a flag of a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KAKUNIN_")}


def replicas():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kakunin-ci-"))
    # PostgreSQL's user passes through.
    folder.chmod(0o711)
    port = free_ports()
    with open(folder / "said", "w") as output:
        deployment = subprocess.Popen([EXAMPLE / "run", folder / "deployment"], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                      start_new_session=True, env=clean() | {"KAKUNIN_BIN": BINARY, "KAKUNIN_PORT": str(port)})
    well = False
    try:
        story(folder, port, deployment)
        well = True
    finally:
        deployment.send_signal(signal.SIGTERM)
        try:
            deployment.wait(60)
        except subprocess.TimeoutExpired:
            well = False
            print("deploy: the example does not end", file=sys.stderr)
        left = [p for p in range(port, port + 5) if socket.socket().connect_ex(("127.0.0.1", p)) == 0]
        found = faults(folder / "deployment")
        if not well or left or found:
            print((folder / "said").read_text(), file=sys.stderr)
            for log in sorted((folder / "deployment").glob("*.log")):
                print(f"== {log.name}", *log.read_text().splitlines()[-25:], sep="\n", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
    check(deployment.returncode == 143, f"the example ended with {deployment.returncode}")
    check(not left, f"the example left somebody at ports {left}")
    check(not found, f"replicas say: {found[0] if found else ''}")
    said("the example ended, and left nobody behind")


def units():
    if not shutil.which("systemd-analyze"):
        said("units: NOT CHECKED: systemd-analyze is missing")
        return
    with tempfile.TemporaryDirectory() as folder:
        for unit in (EXAMPLE / "systemd").iterdir():
            # It asks whether the program is there.
            text = unit.read_text()
            check("/usr/bin/kakunin " in text, f"{unit.name} starts another program")
            (pathlib.Path(folder) / unit.name.replace("@", "@8443")).write_text(text.replace("/usr/bin/kakunin ", f"{BINARY} ").replace("%i", "8443"))
        for unit in sorted(os.listdir(folder)):
            status, output = run("systemd-analyze", "verify", "--man=no", f"{folder}/{unit}")
            # It reads other units of the machine too.
            ours = [line for line in output.splitlines() if unit in line or "kakunin" in line]
            check(status == 0 and not ours, f"{unit}: {output}")
            status, output = run("systemd-analyze", "security", "--offline=true", "--threshold=20", f"{folder}/{unit}")
            found = re.search(r"exposure level .*: (\S+)", output)
            check(status == 0 and found, f"{unit} is more exposed than 2.0: {output}")
            said(f"{unit}: accepted by systemd-analyze, exposure {found[1]}")


def container():
    status, output = run("hadolint", "--failure-threshold", "style", str(EXAMPLE / "Dockerfile"))
    check(status == 0 and not output, f"hadolint: {output}")
    # What no linter asks.
    text = re.sub(r"\\\n", " ", (EXAMPLE / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    last = max(n for n, line in enumerate(lines) if line.startswith("FROM"))
    for line in lines:
        check(not line.startswith("FROM") or re.match(r"FROM \S+:\d[\w.-]+", line), f"no pinned base: {line}")
    check(not any(line.startswith("RUN") for line in lines[last:]), "the last stage runs something")
    check("USER 65532:65532" in lines[last:], "the user is another than the chart's")
    check(any(line.startswith("HEALTHCHECK") for line in lines[last:]), "nothing is said of health")
    copied = [f for line in lines if line.startswith("COPY --from=build") for f in line.split()[2:3]]
    check("/kakunin" in copied, "the program is not copied")
    linked = {pathlib.Path(name).name for name in re.findall(r"^\s+(\S+)", run("ldd", BINARY)[1], re.M)}
    # What a base of Debian has.
    check(all(re.match(r"(linux-vdso|ld-linux\S*|lib(gcc_s|m|c|dl|rt|pthread))\.so", name) for name in linked), f"the program is linked to {linked}")
    said("Dockerfile: hadolint finds nothing; NOT BUILT here")


VALUES = {
    "image": {"repository": "kakunin", "tag": "0.1.0"}, "publicUrl": "https://ca.example", "trustDomain": "agents.example",
    "keys": "awskms:region=eu-central-1;deployment=example", "database": {"secret": "kakunin-database"},
    "migrate": {"secret": "kakunin-migrator"}, "seal": {"secret": "kakunin-seal"}, "tls": {"secret": "kakunin-tls"},
    "networkPolicy": {"from": [{"podSelector": {}}], "database": {"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]}},
}


def merged(values, more):
    return {key: merged(values[key], value) if isinstance(values.get(key), dict) and isinstance(value, dict) else value
            for key, value in (values | more).items()}


def chart():
    import helm_python, yaml
    path = str(EXAMPLE / "chart")
    linted = helm_python.lint(path, VALUES, strict=True)
    check(linted["passed"] if "passed" in linted else not linted.get("errors"), f"helm lint: {linted}")
    with helm_python.Chart.load(path) as loaded:
        # Each way that the templates go.
        ways = {
            "as it is": {}, "seal of a KMS": {"seal": {"secret": "", "url": "awskms:region=r;key-id=k"}},
            "plain HTTP": {"tls": {"secret": "", "insecurePlainHttp": True}}, "no policy": {"networkPolicy": {"enabled": False}},
            "everything": {"replicas": 5, "config": 'trusted-proxy = ["10.0.0.0/8"]\n', "podAnnotations": {"a": "b"},
                           "imagePullSecrets": [{"name": "p"}], "serviceAccount": {"name": "kakunin"}, "nodeSelector": {"a": "b"},
                           "tolerations": [{"operator": "Exists"}], "database": {"roots": "roots"},
                           "image": {"digest": "sha256:" + "0" * 64}, "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]}},
        }
        count = 0
        for way, more in ways.items():
            values = merged(VALUES, more)
            loaded.validate_schema(loaded.merge_values(values))
            rendered = loaded.render(values, name="ca", namespace="kakunin", is_install=True)
            objects = [o for name, text in rendered.items() if not name.endswith(".txt") for o in yaml.safe_load_all(text) if o]
            notes = next(text for name, text in rendered.items() if name.endswith("NOTES.txt"))
            check("first admin key" in notes and "<no value>" not in "".join(rendered.values()), f"{way}: {notes}")
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump_all(objects, file)
                file.flush()
                status, output = run("kubernetes-validate", "--strict", "-k", "1.31", file.name)
                check(status == 0, f"{way}: kubernetes-validate: {output}")
            structure(way, {o["kind"]: o for o in objects}, values)
            count += len(objects)
        # What has to be refused.
        wrong = {
            "no seal": {"seal": {"secret": ""}}, "two seals": {"seal": {"url": "awskms:region=r;key-id=k"}},
            "software keys": {"keys": "local:/keys"}, "no TLS, unsaid": {"tls": {"secret": ""}}, "no database": {"database": {"secret": ""}},
            "no tag": {"image": {"tag": ""}}, "the tag latest": {"image": {"tag": "latest"}}, "an unknown value": {"replicaCount": 3},
            "where the database is, unsaid": {"networkPolicy": {"database": {"to": []}}},
        }
        for way, more in wrong.items():
            try:
                values = merged(VALUES, more)
                loaded.validate_schema(loaded.merge_values(values))
                loaded.render(values, name="ca", namespace="kakunin", is_install=True)
            except helm_python.HelmError:
                continue
            raise SystemExit(f"deploy: the chart takes {way}")
    said(f"chart: Helm {helm_python.helm_sdk_version()} lints and renders it {len(ways)} ways and refuses {len(wrong)}; "
         f"{count} objects are valid for Kubernetes 1.31; NOT INSTALLED here")


def structure(way, kinds, values):
    """What is right by the API and wrong for kakunin."""
    import tomllib
    check("Secret" not in kinds, f"{way}: the chart holds a secret")
    server, job = kinds["Deployment"]["spec"], kinds["Job"]
    check(server["replicas"] >= 3 and server["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, f"{way}: replicas")
    check(job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade", f"{way}: the migration is no hook")
    labels = server["template"]["metadata"]["labels"]
    selectors = [server["selector"]["matchLabels"], kinds["Service"]["spec"]["selector"], kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]]
    selectors += [spread["labelSelector"]["matchLabels"] for spread in server["template"]["spec"]["topologySpreadConstraints"]]
    if values["networkPolicy"].get("enabled", True):
        selectors.append(kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"])
        check(set(kinds["NetworkPolicy"]["spec"]["policyTypes"]) == {"Ingress", "Egress"}, f"{way}: the policy lets something be")
    for selector in selectors:
        check(selector.items() <= labels.items(), f"{way}: {selector} selects no server")
        check(not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items(), f"{way}: {selector} selects the migration")
    for pod in (server["template"]["spec"], job["spec"]["template"]["spec"]):
        security = pod["securityContext"]
        check(security["runAsNonRoot"] and security["runAsGroup"] == security["fsGroup"] == 65532, f"{way}: {security}")
        check(pod["automountServiceAccountToken"] is False, f"{way}: a token of Kubernetes")
        volumes = {volume["name"] for volume in pod["volumes"]}
        for one in pod["containers"]:
            context = one["securityContext"]
            check(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"] and context["capabilities"]["drop"] == ["ALL"], f"{way}: {context}")
            check({mount["name"] for mount in one["volumeMounts"]} == volumes, f"{way}: volumes and mounts differ")
        for volume in pod["volumes"]:
            check("secret" not in volume or volume["secret"]["defaultMode"] == 0o440, f"{way}: mode of {volume}")
    probes = server["template"]["spec"]["containers"][0]
    check(probes["readinessProbe"]["httpGet"]["path"] == "/readyz" and probes["livenessProbe"]["httpGet"]["path"] == "/healthz", f"{way}: probes")
    # Every path in the file is one that is mounted, and the server takes every word of it.
    text = kinds["ConfigMap"]["data"]["kakunin.toml"]
    mounts = [mount["mountPath"] for mount in probes["volumeMounts"]]
    settings = tomllib.loads(text)
    for name, value in settings.items():
        for path in re.findall(r"/run/[^\"]+", str(value)):
            check(any(path.startswith(mount + "/") for mount in mounts), f"{way}: {name} names {path}, which nothing mounts")
    known = set(re.findall(r"^\s+--([a-z-]+)", run(BINARY, "serve", "--help", env=clean())[1], re.M))
    check(settings.keys() <= known, f"{way}: no flags of the server: {settings.keys() - known}")


began = time.monotonic()
for part in sys.argv[1:] or ["replicas", "units", "container", "chart"]:
    {"replicas": replicas, "units": units, "container": container, "chart": chart}[part]()
said(f"passed in {time.monotonic() - began:.0f} s")
