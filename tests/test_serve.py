#!/usr/bin/env python3
"""tern serve as clients see it: answers, streams, errors in words, hostile requests, clients that leave, an end that finishes."""
import base64, http.client, json, os, pathlib, re, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time

HERE = pathlib.Path(__file__).resolve().parent
CHAT = HERE / "golden/decoder/chat.gguf"
TERN = str(pathlib.Path(os.environ.get("TERN_BUILD", HERE.parent / "build")) / "tern")
LONG = {"max_tokens": 800, "logit_bias": {"2": -100}, "n": 16}  # goes on for a while: token 2 ends texts
WORDS = {"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                   "vocab": {w: i for i, w in enumerate(["[UNK]", "a", "b", "##b", "c"])}}, "pre_tokenizer": {"type": "Whitespace"}}
work = pathlib.Path(tempfile.mkdtemp(prefix="tern-serve-"))
passed = failed = 0


def check(what, good, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what}: {detail}")


class Server:
    """A server at a free port; its standard output is one JSON document."""

    def __init__(self, *args, model=CHAT, **env):
        self.process = subprocess.Popen([TERN, "serve", str(model), "--port", "0", "--json", *args], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=dict(os.environ, TERN_THREADS="2", **env))
        text = ""
        while not text.endswith("}\n"):
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"FAILED tern serve does not start: {self.process.stderr.read()}\n0 passed, 1 failed")
            text += line
        self.said = json.loads(text)
        self.port = self.said["port"]

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, path, body=None, method=None, headers={}):
        """(status, document or text)"""
        c = self.connect()
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        c.request(method or ("GET" if body is None else "POST"), path, data, {"Content-Type": "application/json", **headers})
        r = c.getresponse()
        text = r.read()
        c.close()
        if r.headers.get("Content-Type") == "application/json" and text:
            return r.status, json.loads(text)
        return r.status, text.decode()

    def events(self, path, body):
        """The documents of a stream, which ends with [DONE]."""
        c = self.connect()
        c.request("POST", path, json.dumps({**body, "stream": True}))
        r = c.getresponse()
        parts = r.read().decode().split("\n\n")
        c.close()
        check("a stream is one of events, and ends", r.status == 200 and r.headers["Content-Type"] == "text/event-stream"
              and parts[-2:] == ["data: [DONE]", ""] and all(p.startswith("data: ") for p in parts[:-1]), parts[-3:])
        return [json.loads(p[6:]) for p in parts[:-2]]

    def metrics(self):
        """{name with labels: value}"""
        lines = self.ask("/metrics")[1].splitlines()
        check("metrics are an exposition", all(re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? [-+.e\d]+", l) for l in lines),
              [l for l in lines if l[0] != "#"])
        return {l.rsplit(" ", 1)[0]: float(l.rsplit(" ", 1)[1]) for l in lines if l[0] != "#"}

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(60)
        rest = self.process.stderr.read()
        check("the server ends by a signal", status == 0, f"{status}: {rest}")


def chat(text, **more):
    return {"messages": [{"role": "user", "content": text}], "temperature": 0, **more}


def offline(prompt, count, *more):
    """What tern run says to it."""
    greedy = [] if "--beams" in more else ["-t", "0"]
    r = subprocess.run([TERN, "run", str(CHAT), "-p", prompt, "-n", str(count), *greedy, "--json", "-q", *more], capture_output=True,
                       text=True, check=True)
    return json.loads(r.stdout)


def answers(s):
    status, models = s.ask("/v1/models")
    check("models", status == 200 and [m["id"] for m in models["data"]] == ["chat"] and s.said["model"] == "chat", models)
    check("one model", s.ask("/v1/models/chat")[1]["object"] == "model")
    check("no such model", s.ask("/v1/models/other")[0] == 404)
    check("health", s.ask("/health") == (200, {"status": "ok"}))
    for text in "hello", "abcabc", "one two one two":
        status, a = s.ask("/v1/chat/completions", chat(text, max_tokens=20, model="chat"))
        expected = offline(text, 20)
        check(f"the answer to {text} is that of tern run", status == 200 and a["choices"][0]["message"]["content"] == expected["text"],
              (a, expected["text"]))
        check("usage", a["usage"]["prompt_tokens"] == expected["prompt_tokens"]
              and a["usage"]["completion_tokens"] == len(expected["tokens"])
              and a["usage"]["total_tokens"] == a["usage"]["prompt_tokens"] + a["usage"]["completion_tokens"], a["usage"])
        reason = "stop" if expected["finish"] == "end" else "length"
        check("finish_reason", a["choices"][0]["finish_reason"] == reason and a["object"] == "chat.completion", a)
        events = s.events("/v1/chat/completions", chat(text, max_tokens=20))
        check("the stream says the same", "".join(e["choices"][0]["delta"].get("content", "") for e in events) == expected["text"], events)
        check("its events", events[0]["choices"][0]["delta"]["role"] == "assistant" and events[-1]["choices"][0]["finish_reason"] == reason
              and all(e["id"] == events[0]["id"] and e["object"] == "chat.completion.chunk" for e in events), events)
    status, a = s.ask("/v1/completions", {"prompt": ["ab", "one"], "n": 2, "max_tokens": 5, "temperature": 0})
    raw = [offline(p, 5, "--raw")["text"] for p in ("ab", "one")]
    check("two prompts, two answers each", [c["text"] for c in a["choices"]] == [raw[0], raw[0], raw[1], raw[1]]
          and [c["index"] for c in a["choices"]] == [0, 1, 2, 3] and a["object"] == "text_completion", a)
    status, b = s.ask("/v1/completions", {"prompt": "ab", "max_tokens": 5, "temperature": 0, "stop": [raw[0][1:3], "never"]})
    check("a stop text ends it and is no part of it", b["choices"][0]["text"] == raw[0][:raw[0].index(raw[0][1:3])]
          and b["choices"][0]["finish_reason"] == "stop", (b, raw))
    drawn = [s.ask("/v1/completions", {"prompt": "ab", "max_tokens": 12, "temperature": 1.5, "seed": seed})[1]["choices"][0]["text"]
             for seed in (1, 1, 2)]
    check("a seed repeats", drawn[0] == drawn[1] != drawn[2], drawn)


def details(s):
    """Probabilities, formats, usage, samplers."""
    expected = offline("ab", 6, "--raw", "--logprobs", "2")["log_probabilities"]
    a = s.ask("/v1/completions", {"prompt": "ab", "max_tokens": 6, "temperature": 0, "logprobs": 2})[1]["choices"][0]["logprobs"]
    check("log-probabilities of a completion", len(a["tokens"]) == 6 == len(a["text_offset"]) and all(
        abs(x - e["log_probability"]) < 1e-4 and len(top) == 2 for x, e, top in zip(a["token_logprobs"], expected, a["top_logprobs"])), a)
    b = s.ask("/v1/chat/completions", chat("ab", max_tokens=6, logprobs=True, top_logprobs=3))[1]["choices"][0]
    content = b["logprobs"]["content"]
    check("log-probabilities of a chat", "".join(t["token"] for t in content) == b["message"]["content"]
          and all(len(t["top_logprobs"]) == 3 and t["top_logprobs"][0]["logprob"] == t["logprob"]
                  and bytes(t["bytes"]).decode() == t["token"] for t in content), b)
    events = s.events("/v1/chat/completions", chat("ab", max_tokens=6, logprobs=True, stream_options={"include_usage": True}))
    told = [t["token"] for e in events[:-1] for t in (e["choices"][0]["logprobs"] or {"content": []})["content"]]
    check("a stream tells each token once", "".join(told) == b["message"]["content"], told)
    check("usage in the last event", events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] == 6, events[-1])
    schema = {"type": "object", "properties": {"a": {"enum": ["b", "c"]}}, "required": ["a"], "additionalProperties": False}
    kind = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, a = s.ask("/v1/completions", {"prompt": "ab", "max_tokens": 60, "grammar": "root ::= \"yes\" | \"no\""})
    check("a grammar holds", status == 200 and a["choices"][0]["text"] in ("yes", "no"), a)
    status, a = s.ask("/v1/chat/completions", chat("ab", max_tokens=60, response_format={"type": "json_object"}))
    check("a JSON object, of the tokens that the model has", status == 200 and json.loads(a["choices"][0]["message"]["content"]) == {}, a)
    check("a schema needs tokens that the model has", s.ask("/v1/completions", {"prompt": "ab", "response_format": kind})[0] in (400, 500))
    a = s.ask("/v1/completions", {"prompt": "ab", "max_tokens": 8, "logit_bias": {"4": 100}})[1]
    check("logit_bias", a["choices"][0]["text"] == "a" * 8, a)
    a = s.ask("/v1/completions", {"prompt": "ab", "max_tokens": 8, "top_k": 1, "min_p": 0.1, "typical_p": 0.9, "mirostat": 0})[1]
    check("other samplers", a["choices"][0]["text"] == offline("ab", 8, "--raw")["text"], a)


def beams(s):
    """Texts that are likely as wholes, beside others that are made."""
    def search(prompt, **more):
        status, a = s.ask("/v1/completions", {"prompt": prompt, "use_beam_search": True, "max_tokens": 12, **more})
        check(f"a search of {prompt} is answered", status == 200, a)
        return a

    expected = [offline(p, 12, "--raw", "--beams", "3")["beams"] for p in ("ab", "one")]
    other = threading.Thread(target=lambda: s.ask("/v1/completions", {"prompt": "ab", **LONG, "n": 4, "max_tokens": 200}))
    other.start()
    a = search(["ab", "one"], n=2, best_of=3, temperature=0)
    check("the best two of three beams, of each prompt, are those of tern run",
          [(c["index"], c["text"], c["finish_reason"]) for c in a["choices"]]
          == [(2 * p + i, b["text"], "stop" if b["finish"] == "end" else "length") for p in (0, 1) for i, b in enumerate(expected[p][:2])],
          (a, expected))
    check("usage of a search", a["usage"]["completion_tokens"] == sum(len(b["tokens"]) for e in expected for b in e[:2])
          and a["usage"]["prompt_tokens"] == offline("ab", 1, "--raw")["prompt_tokens"] + offline("one", 1, "--raw")["prompt_tokens"], a)
    other.join()
    sums = offline("ab", 12, "--raw", "--beams", "4", "--length-penalty", "0", "--early")["text"]
    check("a length penalty, early", search("ab", best_of=4, length_penalty=0, early_stopping=True)["choices"][0]["text"] == sums, sums)
    talk = s.ask("/v1/chat/completions", {"messages": chat("hello")["messages"], "use_beam_search": True, "n": 2, "max_tokens": 9})[1]
    check("beams of a chat", [c["message"]["content"] for c in talk["choices"]]
          == [b["text"] for b in offline("hello", 9, "--beams", "2")["beams"]], talk)


def together(s):
    """Many at once get what each would get alone; prompts that begin alike share what is known of them."""
    texts = ["hello", "abcabcabcabcabcabcabcabcdef", "abcabcabcabcabcabcabcabcxyz", "one two one two", "9.8.7", "q"] * 3
    alone = {t: s.ask("/v1/completions", {"prompt": t, "max_tokens": 25, "temperature": 0})[1]["choices"][0]["text"] for t in set(texts)}
    found = [None] * len(texts)

    def one(i):
        if i % 2:
            found[i] = s.ask("/v1/completions", {"prompt": texts[i], "max_tokens": 25, "temperature": 0})[1]["choices"][0]["text"]
        else:
            found[i] = "".join(e["choices"][0]["text"]
                               for e in s.events("/v1/completions", {"prompt": texts[i], "max_tokens": 25, "temperature": 0}))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(texts))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    check("many at once", found == [alone[t] for t in texts], list(zip(found, texts)))
    for _ in range(2):  # what was said beside others may have made room for them
        a = s.ask("/v1/completions", {"prompt": texts[1], "max_tokens": 1})[1]
    check("a known beginning", a["usage"]["prompt_tokens_details"]["cached_tokens"] >= 16, a)


def meters(s):
    """Stages of requests follow one another: their sum is the time that requests took."""
    time.sleep(0.3)  # the last answer is told before it is counted
    m = s.metrics()
    stages = sum(v for k, v in m.items() if k.startswith("tern_stage_seconds_total"))
    count = m["tern_request_seconds_count"]
    check("stages sum to requests", abs(stages - m["tern_request_seconds_sum"]) < 0.02 * stages + 0.002 * count, m)
    check("requests by path", m['tern_requests_total{path="/v1/models",status="200"}'] >= 1 and count >= 10, m)
    check("tokens", m['tern_tokens_total{kind="made"}'] > 50 and m['tern_tokens_total{kind="prompt"}'] > 20, m)
    check("nothing waits", m["tern_requests_waiting"] == 0 == m["tern_requests_running"], m)
    pages = [m[f'tern_cache_pages{{state="{k}"}}'] for k in ("used", "kept", "free")]
    check("pages", pages[0] == 0 and pages[1] > 0 and sum(pages) == 8 and m["tern_step_tokens_total"] > m["tern_steps_total"], m)
    check("histograms", m["tern_first_token_seconds_count"] == m['tern_first_token_seconds_bucket{le="+Inf"}'] > 0, m)


def embeddings():
    bert = work / "bert"
    shutil.copytree(HERE / "golden/language/bert", bert)
    (bert / "tokenizer.json").write_text(json.dumps(WORDS))
    vectors = {}
    for model, more, name in (bert, [], "bert"), (CHAT, ["--embeddings", str(bert)], "bert"):
        s = Server(*more, model=model)
        status, a = s.ask("/v1/embeddings", {"input": ["a b ab", "c"], "model": name})
        check("embeddings", status == 200 and [d["index"] for d in a["data"]] == [0, 1] and a["usage"]["prompt_tokens"] == 5, a)
        vectors[model] = a["data"][0]["embedding"]
        b = s.ask("/v1/embeddings", {"input": "a b ab", "encoding_format": "base64"})[1]["data"][0]["embedding"]
        check("as base64", max(abs(x - y) for x, y in zip(struct.unpack("<16f", base64.b64decode(b)), vectors[model])) < 1e-6, b)
        check("from tokens", s.ask("/v1/embeddings", {"input": [4]})[1]["data"][0]["embedding"] == a["data"][1]["embedding"])
        check("too long", s.ask("/v1/embeddings", {"input": "a " * 65})[1]["error"]["code"] == "context_length_exceeded")
        status, d = s.ask("/v1/completions", {"prompt": "a"})
        check("text from it", status == (200 if more else 404), d)
        check("models", len(s.ask("/v1/models")[1]["data"]) == (2 if more else 1))
        s.end()
    r = subprocess.run([TERN, "show", str(bert), "--embed", "a b ab", "--json"], capture_output=True, text=True)
    shown = json.loads(r.stdout)["embedding"]
    check("embeddings are those of tern show", all(max(abs(x - y) for x, y in zip(v, shown)) < 1e-6 for v in vectors.values()), shown)


def errors(s):
    def bad(status, words, body, path="/v1/chat/completions", field=None, **how):
        found, document = s.ask(path, body, **how)
        error = document.get("error", {}) if isinstance(document, dict) else {}
        check(f"{path} {str(body)[:80]}", found == status and words in error.get("message", "") and error.get("param") == field,
              (found, document))

    talk = {"messages": [{"role": "user", "content": "hi"}]}
    bad(404, "nothing at this path", None, "/v2/none")
    bad(405, "another method", None, "/v1/chat/completions")
    bad(400, "no JSON", b"{\"messages\": [")
    bad(400, "no JSON", b"")
    bad(400, "no JSON", b"{\"n\": 1, \"n\": 2}")
    bad(400, "no JSON", b"{} {}")
    bad(400, "no JSON", b"\xff\xfe{}")
    bad(400, "no JSON", b"[" * 100000)
    bad(400, "expected an object", b"[]")
    bad(400, "\"messages\" is missing", {}, field="messages")
    bad(400, "is a text, expected a list", {"messages": "hi"}, field="messages")
    bad(400, "\"role\"", {"messages": [{"role": "boss", "content": "x"}]}, field="messages")
    bad(400, "no {\"type\": \"text\"", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, field="messages")
    bad(400, "did you mean \"temperature\"", {**talk, "temprature": 1})
    bad(400, "expected 0 to 1", {**talk, "top_p": 1.5}, field="top_p")
    bad(400, "expected a number", {**talk, "temperature": "hot"}, field="temperature")
    bad(400, "expected a whole number", {**talk, "n": 1.5}, field="n")
    bad(400, "empty text", {**talk, "stop": [""]}, field="stop")
    bad(400, "needs \"logprobs\"", {**talk, "top_logprobs": 2}, field="top_logprobs")
    bad(400, "not supported", {**talk, "tools": [{}]}, field="tools")
    bad(400, "no token", {**talk, "logit_bias": {"x": 1}}, field="logit_bias")
    bad(400, "JSON schema", {**talk, "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
        field="response_format")
    bad(400, "line 1", {**talk, "grammar": "root ::= ("}, field="response_format")
    whole = {"prompt": "ab", "use_beam_search": True}
    for name, value in ("stream", True), ("temperature", 1), ("top_k", 3), ("seed", 1), ("stop", "x"), ("logprobs", 1), ("logit_bias", {"1": 1}):
        bad(400, f"does not go together with \"{name}\"", {**whole, name: value}, "/v1/completions", field="use_beam_search")
    bad(400, "does not go together with \"grammar\" or", {**whole, "grammar": "root ::= \"a\""}, "/v1/completions", field="use_beam_search")
    bad(400, "expected \"n\" (4) or more", {**whole, "n": 4, "best_of": 2}, "/v1/completions", field="best_of")
    bad(400, "but with \"use_beam_search\"", {"prompt": "ab", "best_of": 2}, "/v1/completions", field="best_of")
    bad(400, "no effect without", {"prompt": "ab", "length_penalty": 1}, "/v1/completions", field="length_penalty")
    bad(400, "expected 1 to 64", {**whole, "best_of": 65}, "/v1/completions", field="best_of")
    bad(400, "9 beams, expected 1 to 8", {**whole, "best_of": 9}, "/v1/completions")
    bad(400, "beams of 0 tokens", {**whole, "max_tokens": 0}, "/v1/completions")
    bad(404, "there is no model that makes embeddings", {"input": "x"}, "/v1/embeddings", field="model")
    bad(404, "only \"chat\"", {**talk, "model": "gpt-4"}, field="model")
    bad(400, "more than the context", {"prompt": "ab" * 3000}, "/v1/completions", field="prompt")
    bad(400, "no token", {"prompt": [1, "x"]}, "/v1/completions", field="prompt")
    bad(400, "expected 0 to 47", {"prompt": [1, 48]}, "/v1/completions", field="prompt")
    bad(413, "longer than", b"{\"prompt\": \"" + b"a" * (5 << 20) + b"\"}", "/v1/completions")


def hostile(s):
    """Requests that are none, clients that leave or dawdle: the server lives."""
    raw = [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST /v1/completions HTTP/1.1\r\n"
           b"Host: x\r\nContent-Length: 18446744073709551616\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
           b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100000 + b"\r\n\r\n",
           b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"]
    for bytes_ in raw:
        with socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:
            try:
                c.sendall(bytes_)
                c.shutdown(socket.SHUT_WR)
                answer = c.recv(64)
            except OSError:
                answer = b""
        check(f"{bytes_[:30]} is refused", answer == b"" or answer[9:10] in (b"4", b"5"), answer)
    for _ in range(5):  # gone in mid-stream
        c = s.connect()
        c.request("POST", "/v1/completions", json.dumps({"prompt": "ab", "stream": True, **LONG}))
        c.getresponse().read(50)
        c.close()
    c = s.connect()  # gone before the answer
    c.request("POST", "/v1/completions", json.dumps({"prompt": "ab", **LONG}))
    c.close()
    for _ in range(5):  # gone before the body is there
        with socket.create_connection(("127.0.0.1", s.port)) as c:
            c.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    opened = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(200)]  # and left
    check("it lives", s.ask("/v1/chat/completions", chat("hello", max_tokens=3))[0] == 200)
    for c in opened:
        c.close()
    check("and says so", s.ask("/health")[0] == 200)
    end = time.time() + 30
    m = {}
    while time.time() < end and (not m or m["tern_requests_running"] or m["tern_clients_left_total"] < 6):
        time.sleep(0.05)
        m = s.metrics()
    check("those who left are counted, and not worked for", m["tern_clients_left_total"] >= 6 and m["tern_requests_running"] == 0, m)


def limits():
    s = Server("--requests", "2", "--patience", "1", "--arrival", "1", "--body", "2k", "--connections", "20", "--context", "4000")
    check("bodies", s.ask("/v1/completions", b" " * 3000)[0] == 413)
    many = []
    for _ in range(4):
        c = s.connect()
        c.request("POST", "/v1/completions", json.dumps({"prompt": ["ab"] * 16, **LONG}))
        many.append(c)
        time.sleep(0.05)
    found = [c.getresponse() for c in many]
    documents = [json.loads(r.read()) for r in found]
    check("two wait or run, the others are sent away, those that take too long are cut short",
          [r.status for r in found] == [504, 504, 429, 429] and found[2].headers["Retry-After"]
          and "longer than the 1 s" in documents[0]["error"]["message"], documents)
    begun = time.time()
    with socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:  # a byte now and then
        c.sendall(b"POST /v1/completions HTTP/1.1\r\n")
        try:
            for i in range(100):
                c.sendall(b"X-%d: y\r\n" % i)
                time.sleep(0.1)
        except OSError:
            pass
    check("a slow client is not waited for", time.time() - begun < 8, time.time() - begun)
    s.end()


def keys():
    (work / "keys").write_text("first\n\nsecond\n")
    for s, good in (Server("--keys", str(work / "keys")), ["first", "second"]), (Server(TERN_API_KEY="own"), ["own"]):
        for key in good:
            check("a key lets in", s.ask("/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200)
        for head in {}, {"Authorization": "Bearer firs"}, {"Authorization": "Bearer first2"}, {"Authorization": "first"}:
            status, d = s.ask("/v1/completions", {"prompt": "a"}, headers=head)
            check(f"{head} does not", status == 401 and d["error"]["type"] == "authentication_error", d)
        check("health is open", s.ask("/health")[0] == 200)
        check("metrics are not", s.ask("/metrics")[0] == 401)
        s.end()
    s = Server()
    for origin, status in (f"http://127.0.0.1:{s.port}", 200), ("http://evil.example", 403), ("null", 403):
        found = s.ask("/v1/completions", {"prompt": "a", "max_tokens": 1}, headers={"Origin": origin})
        check(f"a page of {origin}", found[0] == status, found)
    s.end()


def log():
    """A line of JSON for each request, whose stages make up its time."""
    path = work / "log"
    s = Server("--log", str(path), "--context", "4000")
    usage = [s.ask("/v1/completions", {"prompt": text, "max_tokens": 9})[1]["usage"] for text in ("hello", "abc")]
    s.events("/v1/completions", {"prompt": "ab", "max_tokens": 4})
    s.ask("/v1/completions", b"{")
    c = s.connect()
    c.request("POST", "/v1/completions", json.dumps({"prompt": "ab", "stream": True, **LONG}))
    c.getresponse().read(50)
    c.close()
    s.end()
    lines = [json.loads(l) for l in path.read_text().splitlines()]
    whole = [l for l in lines if not l["left"]]
    check("a line each", len(lines) == 5 and len(whole) == 4 and [l["status"] for l in whole] == [200, 200, 200, 400], lines)
    check("stages make up the time", all(abs(sum(l["stages"].values()) - l["seconds"]) < 5e-5 + 0.01 * l["seconds"] for l in whole), whole)
    check("tokens of a request", [(l["made_tokens"], l["prompt_tokens"]) for l in whole[:2]]
          == [(u["completion_tokens"], u["prompt_tokens"]) for u in usage], (whole, usage))
    r = subprocess.run([TERN, "serve", str(CHAT), "--port", "0", "--log", "/no/such/log"], capture_output=True, text=True)
    check("a log that cannot be written", r.returncode == 1 and "--log: cannot write /no/such/log" in r.stderr, r)


def finishes(number):
    """A signal while an answer is under way: it is answered whole, new ones are not taken."""
    s = Server("--context", "4000")
    c = s.connect()
    c.request("POST", "/v1/completions", json.dumps({"prompt": "ab", "temperature": 0, "stream": True, **LONG, "n": 2}))
    r = c.getresponse()
    first = r.read(20)
    s.process.send_signal(number)
    rest = first + r.read()
    check("what runs is finished", rest.endswith(b"data: [DONE]\n\n"), rest[-200:])
    check("then the server ends", s.process.wait(60) == 0)


def page():
    """The built-in page in a browser."""
    sys.path.insert(0, str(HERE))
    from page import converse
    s = Server(TERN_API_KEY="")
    c = s.connect()
    c.request("GET", "/")
    r = c.getresponse()
    text = r.read().decode()
    check("the page is one document", r.status == 200 and "default-src 'none'" in r.headers["Content-Security-Policy"]
          and "src=" not in text and not re.search(r"https?://", text), r.headers)
    found = converse(f"http://127.0.0.1:{s.port}/", "hello")
    if found is None:
        print("skipped: chromium")
    else:
        expected = offline("hello", 40)
        check("a conversation on it", found[0] == "chat" and found[1] == expected["text"]
              and found[2].startswith(f"{len(expected['tokens'])} tokens"), (found, expected))
    s.end()


def wrong_use():
    def bad(words, *args):
        r = subprocess.run([TERN, "serve", *args], capture_output=True, text=True, timeout=60)
        check(f"tern serve {args}", r.returncode in (1, 2) and words in r.stderr and not r.stdout, (r.returncode, r.stderr))

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bad("cannot listen at 127.0.0.1, port", str(CHAT), "--port", str(taken.getsockname()[1]))
    bad("cannot listen at no.such.host.invalid", str(CHAT), "--host", "no.such.host.invalid")
    bad("unknown model", "no-such-model")
    limits = subprocess.run(["bash", "-c", "ulimit -n 200 && exec \"$@\"", "-", TERN, "serve", str(CHAT), "--port", "0", "--connections", "500"],
                            capture_output=True, text=True, timeout=60)
    check("open files that do not suffice", limits.returncode == 2 and "500 connections want 524 open files, and this process may have 200" in limits.stderr, limits)


def main():
    probe = subprocess.run([TERN, "serve", str(CHAT), "--host", "no.such.host.invalid"], capture_output=True, text=True)
    if "without libmicrohttpd" in probe.stderr:
        print("skipped: libmicrohttpd\n0 passed, 0 failed")
        return
    s = Server("--cache", "f32")  # as tern run has it
    answers(s)
    details(s)
    beams(s)
    together(s)
    meters(s)
    errors(s)
    s.end()
    s = Server("--context", "4000")
    hostile(s)
    s.end()
    limits()
    keys()
    log()
    embeddings()
    page()
    finishes(signal.SIGTERM)
    finishes(signal.SIGINT)
    wrong_use()
    shutil.rmtree(work)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
