#!/usr/bin/env python3
"""templates.py FOLDER: renders chat templates with Python's jinja2, set up as Hugging Face's transformers does, over several
conversations, into templates.json.  FOLDER holds *.jinja, for instance the ones in llama-cpp-python's source distribution
(vendor/llama.cpp/models/templates).  Templates of models under Apache 2.0 and MIT are kept in full (KEPT); of the others only
a hash of what they render to, for tests that are given the same folder (TERN_TEMPLATES)."""
import datetime
import glob
import json
import os
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

from generate import fnv

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = 1718000000
KEPT = {  # licence of the model's repository, as published
    "Qwen-Qwen2.5-7B-Instruct": "Apache-2.0", "Qwen-Qwen3-0.6B": "Apache-2.0", "microsoft-Phi-3.5-mini-instruct": "MIT",
    "mistralai-Mistral-Nemo-Instruct-2407": "Apache-2.0", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "MIT"}
OWN = {
    "smollm2 (Apache-2.0)": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>"
    "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}",
    "headers": "{{- bos_token }}\n{% set system = messages[0]['content'] | trim if messages[0]['role'] == 'system' else '' %}\n"
    "{#- the rest -#}\n{% for m in (messages[1:] if system else messages) %}\n  {%- set body = '<|start_header_id|>' ~ m.role ~ "
    "'<|end_header_id|>\\n\\n' ~ (m['content'] or '') | trim ~ '<|eot_id|>' %}\n  {{- body }}\n{% endfor %}\n"
    "{%- if add_generation_prompt -%}\n  {{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n",
    "turns": "{{ bos_token }}{%- if messages[0].role == 'system' -%}{%- set first = messages[0].content + '\\n\\n' -%}"
    "{%- set rest = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set rest = messages -%}{%- endif -%}"
    "{%- for m in rest -%}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('roles must alternate') }}"
    "{%- endif -%}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + (first if loop.first) }}"
    "{%- if m.content is string -%}{{ m.content | trim }}{%- elif m.content is iterable -%}{%- for part in m.content -%}"
    "{{ part.text | default('?') | trim }}{%- endfor -%}{%- endif -%}{{ '<end_of_turn>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}",
}
EXPRESSIONS = """
1 + 2 * 3 - 4 / 2
7 // 2 ~ '|' ~ -7 // 2 ~ '|' ~ -7 % 3 ~ '|' ~ 2 ** 10
(1.5 * 2) ~ ' ' ~ 1e20 ~ ' ' ~ (0.1 + 0.2)
1 < 2 < 3 and not 3 < 2
'a' in 'cat' and 'b' not in 'cat' and 2 in [1, 2] and 'k' in {'k': 1}
true and none or 'x'
messages | length
messages[0].role.upper()
messages[-1]['role'] | capitalize
messages[::-1] | map(attribute='role') | join(', ')
'abc'[1:] ~ 'abc'[:-1] ~ 'abc'[::-1] ~ 'abcdef'[1:5:2] ~ 'äöü'[1]
[1, 2, 3][1:] + [4]
'  x '.strip() ~ '|' ~ '  x '.lstrip() ~ '|' ~ '  x '.rstrip() ~ '|' ~ 'xxyxx'.strip('x')
'a,b,,c'.split(',') | join('+') ~ ('a  b c'.split() | join('+')) ~ ('a.b.c'.split('.', 1) | join('+'))
'Hello World'.replace('o', '0') ~ 'hello world'.title() ~ 'HELLO'.lower() ~ 'straße'.upper()
'abc'.startswith('ab') and 'abc'.endswith('bc') and 'abc'.find('c') == 2
{'a': 1, 'b': [true, none, 'x"y', 1.5]} | tojson
{'a': {'b': []}, 'c': [1, {'d': 2}], 'e': {}} | tojson(indent=2)
{'b': 1, 'a': 2}.items() | list
{'b': 1, 'a': 2} | dictsort
{'a': 1}.get('b', 'none') ~ {'a': 1}.get('a')
[1, 'two', 3.0, none, true, {'k': 'v'}, "it's"]
missing is defined ~ '' ~ missing | default('d') ~ (missing.x if missing is defined else 'no')
'' | default('e', true) ~ (none | default('f')) ~ ('' | default('g'))
'x' if messages else 'y'
'z' if false
3 is odd and 4 is even and 3 is number and 'a' is string and [] is sequence and {} is mapping and none is none
1 is not none and 'x' is not defined == false
5 is divisibleby 5 ~ (1 is eq 1) ~ ('a' is in ['a'])
[3, 1, 2] | first ~ ([3, 1, 2] | last) ~ ([] | first)
[1, 1, 2] | unique | list ~ ([1, 2] | reverse | list)
messages | selectattr('role', 'equalto', 'user') | list | length
messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | list
[1, 2, 3, 4] | select('odd') | list ~ ([0, 1, ''] | select | list) ~ ([1, 2] | reject('even') | list)
['a', 'b'] | map('upper') | join
'a\\nb\\n\\nc' | indent ~ '|' ~ ('a\\nb' | indent(2, true))
('42' | int) ~ ('x' | int) ~ ('1.5' | float) ~ (3.9 | int)
-3 | abs ~ ((-3) | abs) ~ (1 if not 0 else 2)
range(3) | list ~ (range(1, 10, 4) | list) ~ (range(3, 0, -1) | list)
dict(a=1, b='x') ~ namespace is defined
'%' ~ "tab\\t" ~ 'quote\\'' ~ "\\u00e9\\x41" ~ 'two' ' parts'
(1, 2)[0] ~ ((1,) | length) ~ (1, 'a') ~ (1,)
[3, 1, 2] | min ~ ([3, 1, 2] | max) ~ ([3, 1, 2] | sort) ~ (['b', 'A', 'a'] | sort) ~ ([2, 3, 1] | sort(reverse=true))
messages | sort(attribute='role') | map(attribute='role') | list
'a{}b{}'.format(1, 'x') ~ 'é' | tojson(ensure_ascii=true)
none | selectattr('x') | list ~ (none | map('upper') | list)
[1] | map('string') | tojson
'é' | length ~ ('日本' | upper) ~ ('ÀÉ' | lower)
"line1\\nline2".splitlines() | length
',' .join(['a', 'b']) ~ 'banana'.count('an') ~ '12'.isdigit()
messages[0].content is string and messages[0]['nothing'] is undefined
"'" ~ '"' ~ ["'", '"', 'a\\n', '\\\\'] ~ 1.0 ~ 100000000000000000.0 ~ 1e-5 ~ 123456.789
"""
STATEMENTS = [
    "{% for x in [1,2,3] if x != 2 %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ x }} {% else %}none{% endfor %}",
    "{% for x in [] %}{{ x }}{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }},{{ loop.revindex }}{{ loop.length }} {% endfor %}",
    "{% set x = 1 %}{% for i in range(3) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}",
    "{% set a, b = 1, 'x' %}{{ a }}{{ b }}",
    "{% set block %}\n  in {{ 1 + 1 }}\n{% endset %}[{{ block }}]",
    "{% macro hi(name, mark='!') %}Hi {{ name }}{{ mark }}{% endmacro %}{{ hi('a') }}{{ hi('b', mark='?') }}{{ hi(name='c') }}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "a\n  {% if true %}  \n  b\n  {% endif %}\nc\n",
    "a\n  {%- if true -%}  \n  b\n  {%- endif -%}\nc\n",
    "a\n  {%+ if true %}  \n  b\n  {% endif +%}\nc\n\n",
    "a {# comment #} b\n  {# line #}\nc {#- eat -#} d",
    "{{ 'x' }}\n{{- 'y' }}\n  {{ 'z' -}}  \n w",
    "{% for r in [[1, 2], [3]] %}{% for x in r %}{{ loop.index }}{{ x }}{% endfor %};{{ loop.index }}{% endfor %}",
    "{% if false %}a{% elif 0 %}b{% elif 'c' %}c{% else %}d{% endif %}",
    "{% generation %}x{{ 1 }}{% endgeneration %}y",
    "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}>{{ m.role }} {% endfor %}",
    "x{{ none }}{{ true }}{{ missing }}{{ [] }}{{ {} }}",
    "{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages | length }}",
]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)
    return env


def conversations():
    system = {"role": "system", "content": "  You are terse.\n"}
    user = {"role": "user", "content": "Hello, wörld 😀 <b>\n"}
    reply = {"role": "assistant", "content": "Hi & bye"}
    thought = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}
    tool = {"type": "function", "function": {"name": "weather", "description": "The \"weather\"", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Łódź"]}}, "required": ["city"]}}}
    call = {"role": "assistant", "content": "", "tool_calls": [
        {"id": "abcdef123", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}}]}
    answer = {"role": "tool", "name": "weather", "tool_call_id": "abcdef123", "content": "{\"t\": -3.5}"}
    common = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True, "now_seconds": NOW}
    yield {"messages": [user], **common}
    yield {"messages": [system, user, reply, user], **common}
    yield {"messages": [user, reply], **common, "add_generation_prompt": False}
    yield {"messages": [user, thought, user], **common, "enable_thinking": False}
    yield {"messages": [system, user, call, answer, reply, user], **common, "tools": [tool, tool]}
    yield {"messages": [user, call, answer], **common, "tools": [tool]}
    yield {"messages": [user, user], **common}
    yield {"messages": [{"role": "user", "content": [{"type": "text", "text": " parts "}, {"type": "text", "text": "two"}]}], **common}
    yield {"messages": [{"role": "user", "content": ""}], "add_generation_prompt": True, "now_seconds": NOW}


def render(env, source, variables):
    try:
        return env.from_string(source).render(**json.loads(json.dumps(variables)))
    except Exception:  # whatever it is: a failure is the expected answer
        return None


def main(folder):
    env, talks = environment(), list(conversations())
    out = {"conversations": talks, "templates": [], "hashes": {}}
    sources = {f"expression: {e}": "{{ %s }}" % e for e in EXPRESSIONS.strip().split("\n")}
    sources.update({f"statement: {i}": s for i, s in enumerate(STATEMENTS)})
    sources.update(OWN)
    for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
        name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="utf-8", newline="") as file:
            source = file.read()
        if name in KEPT:
            sources[f"{name} ({KEPT[name]})"] = source
        results = [render(env, source, talk) for talk in talks]
        out["hashes"][name] = [None if r is None else f"{fnv(r.encode()):016x}" for r in results]
    for name, source in sources.items():
        wanted = talks if not name.startswith(("expression", "statement")) else talks[1:2]
        out["templates"].append({"name": name, "source": source, "conversations": [talks.index(t) for t in wanted],
                                 "texts": [render(env, source, t) for t in wanted]})
    with open(os.path.join(HERE, "templates.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(out, ensure_ascii=False, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
