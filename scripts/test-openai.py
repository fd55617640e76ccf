"""The official Python client of OpenAI's API against tern serve: see test-openai."""
import asyncio, json, subprocess, sys

import openai

passed = failed = 0


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print(f"FAILED {what}: {detail}")


def raises(what, kind, call):
    try:
        found = call()
    except kind as e:
        return check(what, True) or e
    except Exception as e:
        found = e
    check(what, False, found)


def run(client, url):
    model = client.models.list().data[0].id
    check("one model", client.models.retrieve(model).id == model)
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    whole = client.chat.completions.create(model=model, messages=talk, max_tokens=12, temperature=0)
    text = whole.choices[0].message.content
    check("a chat", whole.choices[0].message.role == "assistant" and whole.choices[0].finish_reason in ("stop", "length"), whole)
    check("usage", whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens, whole.usage)
    parts = list(client.chat.completions.create(model=model, messages=talk, max_tokens=12, temperature=0, stream=True,
                                                stream_options={"include_usage": True}))
    check("a stream", "".join(p.choices[0].delta.content or "" for p in parts if p.choices) == text, parts)
    check("usage of a stream", parts[-1].usage.completion_tokens == whole.usage.completion_tokens, parts[-1])
    several = client.chat.completions.create(model=model, messages=talk, max_completion_tokens=5, n=3, seed=7, temperature=1.2, top_p=0.9,
                                             frequency_penalty=0.5, presence_penalty=0.5, user="me")
    check("several answers", [c.index for c in several.choices] == [0, 1, 2], several)
    scored = client.chat.completions.create(model=model, messages=talk, max_tokens=4, temperature=0, logprobs=True, top_logprobs=3)
    check("log-probabilities", all(len(t.top_logprobs) == 3 and t.logprob <= 0 and t.bytes is not None
                                   for t in scored.choices[0].logprobs.content), scored)
    held = client.chat.completions.create(model=model, messages=talk, max_tokens=60, response_format={"type": "json_object"}, temperature=0)
    check("JSON", held.choices[0].finish_reason == "length" or isinstance(json.loads(held.choices[0].message.content), dict), held)
    raw = client.completions.create(model=model, prompt=["ab", "cd"], max_tokens=6, temperature=0, logprobs=2)
    check("completions", len(raw.choices) == 2 and len(raw.choices[1].logprobs.tokens) > 0, raw)
    streamed = "".join(p.choices[0].text for p in client.completions.create(model=model, prompt="ab", max_tokens=6, temperature=0, stream=True))
    check("a stream of a completion", streamed == raw.choices[0].text, (streamed, raw.choices[0].text))
    if len(streamed) > 2:
        cut = client.completions.create(model=model, prompt="ab", max_tokens=6, temperature=0, stop=streamed[2])
        check("a stop text", cut.choices[0].text == streamed[:streamed.index(streamed[2])], cut)
    e = raises("a model that there is not", openai.NotFoundError, lambda: client.chat.completions.create(model="none", messages=talk))
    check("its code", e is not None and e.code == "model_not_found", e)
    raises("a bad request", openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=talk, top_p=2))
    raises("no embeddings", openai.NotFoundError, lambda: client.embeddings.create(model=model, input="x"))
    raises("a wrong key", openai.AuthenticationError, lambda: openai.OpenAI(base_url=url, api_key="wrong").models.list())
    with client.chat.completions.create(model=model, messages=talk, stream=True, max_tokens=50) as left:
        next(iter(left))

    async def at_once():
        async with openai.AsyncOpenAI(base_url=url, api_key="key") as many:
            return await asyncio.gather(*[many.chat.completions.create(model=model, messages=talk, max_tokens=12, temperature=0)
                                          for _ in range(12)])
    check("twelve at once say the same", {a.choices[0].message.content for a in asyncio.run(at_once())} == {text}, text)


def main():
    server = subprocess.Popen([sys.argv[1], "serve", sys.argv[2], "--port", "0", "--json"], stdout=subprocess.PIPE, text=True,
                              env={"TERN_API_KEY": "key", **__import__("os").environ})
    said = ""
    while not said.endswith("}\n"):
        said += server.stdout.readline()
    url = json.loads(said)["url"] + "/v1"
    try:
        run(openai.OpenAI(base_url=url, api_key="key"), url)
    finally:
        server.terminate()
    check("the server ends", server.wait(60) == 0)
    print(f"openai {openai.__version__}: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
