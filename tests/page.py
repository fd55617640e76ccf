#!/usr/bin/env python3
"""page.py URL [SCREENSHOT]: the chat page of a server as a browser runs it, over Chromium's debugging pipe: a question is typed and
sent, its answer is read off the page.  Prints the answer."""
import base64, json, os, shutil, subprocess, sys, tempfile, time


class Browser:
    """Chromium without a window; commands and answers are JSON, ended by NUL, on its files 3 and 4."""

    def __init__(self, program):
        self.folder = tempfile.mkdtemp(prefix="tern-page-")
        to, self.out = os.pipe()
        self.into, back = os.pipe()
        keep = [os.dup(to), os.dup(back)]

        def place():
            os.dup2(keep[0], 3)
            os.dup2(keep[1], 4)

        self.process = subprocess.Popen([program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
                                         "--window-size=900,700", f"--user-data-dir={self.folder}", "--remote-debugging-pipe"],
                                        preexec_fn=place, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.number, self.rest, self.session = 0, b"", None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                part = os.read(self.into, 65536)
                if not part:
                    raise OSError("the browser has gone")
                self.rest += part
            text, self.rest = self.rest.split(b"\0", 1)
            found = json.loads(text)
            if found.get("id") == self.number:
                if "error" in found:
                    raise OSError(found["error"])
                return found["result"]

    def run(self, script):
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise OSError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, script, seconds=200):
        end = time.time() + seconds
        while not self.run(script):
            if time.time() > end:
                raise OSError(f"{script} does not come: {self.run('document.body.innerText')}")
            time.sleep(0.1)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def converse(url, question, screenshot=None):
    """(name of the model, text of the answer, what stands below it), or None where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        return None
    b = Browser(program)
    try:
        b.ask("Page.enable")
        b.ask("Page.navigate", url=url)
        b.wait("document.readyState == 'complete' && document.getElementById('model').textContent != 'Tern'")
        b.run("document.getElementById('temperature').value = 0; document.getElementById('most').value = 40;"
              f"document.getElementById('text').value = {json.dumps(question)}; document.getElementById('send').click()")
        b.wait("!!document.querySelector('article.assistant small, article.error')")
        if screenshot:
            with open(screenshot, "wb") as f:
                f.write(base64.b64decode(b.ask("Page.captureScreenshot", format="png")["data"]))
        return tuple(b.run(s) for s in (
            "document.getElementById('model').textContent", "document.querySelector('article:last-child').firstChild.data",
            "(document.querySelector('article:last-child small') || {}).textContent"))
    finally:
        b.close()


if __name__ == "__main__":
    print(converse(sys.argv[1], "What is the capital of France?", sys.argv[2] if len(sys.argv) > 2 else None))
