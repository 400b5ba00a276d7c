"""The page as people use it: a real Chromium, a real server and jobs that are really rendered."""

from __future__ import annotations

import http.client
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import cv2
import numpy as np
import requests
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from wan_animate_blender.wire import Job, JobState
from wan_animate_server.keyring import NamedTokens
from wan_animate_server.page import sessions
from wan_animate_server.shot import load

from ..browsing import PATIENCE, SECONDS
from ..conftest import WIDTH, make_light, write_export
from ..serving import Running, serving
from .conftest import come_in, visiting

Send = Callable[..., Job]
Pixels = NDArray[np.uint8]

expect.set_options(timeout=PATIENCE)

ANSWER = PATIENCE / SECONDS
"""Seconds that an answer may take."""


def opened(page: Page, job: Job) -> Page:
    page.goto(f"/?job={job.id}")
    return page


def state(page: Page, said: str) -> None:
    expect(page.locator(f"#standing[data-state={said}]")).to_be_visible()


def drawn(page: Page) -> None:
    page.wait_for_selector("#player[data-drawn=true]")


def pixels(page: Page) -> Pixels:
    """What the canvas of the player shows, [H, W, 3]."""
    drawn(page)
    size, data = page.evaluate("""() => {
        const canvas = document.getElementById("canvas"), { width, height } = canvas;
        const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        return [[height, width], [...copy.getImageData(0, 0, width, height).data]];
    }""")
    return np.array(data, np.uint8).reshape(*size, 4)[..., :3]


def ways_in(server: Running) -> requests.Session:
    """A session of the page without a browser."""
    session = requests.Session()
    reply = session.post(f"{server.url}/page/login", {"token": server.token}, allow_redirects=False, timeout=ANSWER)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/")
    return session


# --- who may come in ------------------------------------------------------------------------------


def test_without_a_token_there_is_a_form_and_nothing_else(server: Running, done: Job) -> None:
    reply = requests.get(f"{server.url}/?job={done.id}", timeout=ANSWER)
    assert done.shot not in reply.text and 'name="token"' in reply.text
    assert server.token not in reply.text
    for path in ("events", *(f"jobs/{done.id}/{what}" for what in ("log", "preview", "reel", "poster", "pictures/0"))):
        refused = requests.get(f"{server.url}/page/{path}", timeout=ANSWER)
        assert (refused.status_code, refused.json()["error"]) == (401, "unauthorised")


def test_a_wrong_token_is_one_sentence_and_the_right_one_leads_on(browser: Browser, server: Running) -> None:
    with visiting(browser, server) as context:
        page = context.new_page()
        page.goto("/")
        page.fill("#token", "wrong")
        with page.expect_response("**/page/login") as answered:
            page.press("#token", "Enter")
        assert answered.value.status == 401
        expect(page.get_by_role("alert")).to_contain_text("token is missing or wrong")
        page.fill("#token", server.token)
        page.press("#token", "Enter")
        expect(page.get_by_role("heading", name="Queue")).to_be_visible()
        assert server.token not in page.url + page.content()


def test_who_guesses_tokens_has_to_wait(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    answers = []
    for token in ["wrong"] * sessions.TRIES + [server.token]:
        connection = http.client.HTTPConnection(host, int(port), source_address=("127.0.0.9", 0), timeout=ANSWER)
        connection.request("POST", "/page/login", urlencode({"token": token}))
        answers.append(connection.getresponse())
    assert [reply.status for reply in answers] == [401] * sessions.TRIES + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= sessions.WINDOW
    assert ways_in(server).get(server.url, timeout=ANSWER).ok, "others come in meanwhile"


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(page: Page, server: Running) -> None:
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert page.evaluate("document.cookie") == ""
    assert server.token not in cookie["value"]


def test_no_foreign_script_runs_on_the_page(browser: Browser, server: Running) -> None:
    context = browser.new_context(base_url=server.url)  # one that may complain
    page = come_in(context, server.token)
    blocked = page.evaluate("""() => new Promise((resolve) => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'mine'";
        addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
        document.body.append(script);
    })""")
    assert blocked == "script-src-elem"
    assert page.title() != "mine"
    context.close()


def test_a_form_from_elsewhere_changes_nothing(server: Running, send: Send) -> None:
    session = ways_in(server)
    with server.holding():
        job = send()
        for word in ({}, {"word": ""}, {"word": "guessed"}):
            reply = session.post(f"{server.url}/page/jobs/{job.id}/cancel", word, timeout=ANSWER)
            assert (reply.status_code, reply.json()["error"]) == (403, "foreign-form")
        assert session.get(f"{server.url}/page/jobs/{job.id}/cancel", timeout=ANSWER).status_code in (404, 405)
        assert server.job(job.id).state in (JobState.QUEUED, JobState.RUNNING)
        server.call("DELETE", f"/v1/jobs/{job.id}")


def test_logging_out_ends_the_session_on_the_server_too(browser: Browser, server: Running) -> None:
    with visiting(browser, server) as context:
        page = come_in(context, server.token)
        (cookie,) = context.cookies()
        page.click("#logout")
        expect(page.locator("#token")).to_be_visible()
        assert context.cookies() == []
    old = requests.get(f"{server.url}/page/events", cookies={cookie["name"]: cookie["value"]}, timeout=ANSWER)
    assert old.status_code == 401


def test_a_token_that_is_revoked_ends_its_sessions(browser: Browser, server: Running) -> None:
    named = NamedTokens(server.log.parent / "token")
    secret = named.add("guest")
    with visiting(browser, server) as context:
        page = come_in(context, secret)
        expect(page.locator("header")).to_contain_text("guest")
        named.revoke("guest")
        expect(page.locator("#token")).to_be_visible()


# --- the queue ------------------------------------------------------------------------------------


def test_a_job_is_watched_from_its_coming_to_its_end_without_a_reload(page: Page, server: Running, send: Send) -> None:
    page.evaluate("window.same = true")
    with server.holding(step=4):
        job = send(steps=5, frames=13)
        expect(page.locator(f"#job-{job.id}")).to_contain_text("SH010")
        assert page.evaluate("window.same")
        page.click(f"#open-{job.id}")
        page.evaluate("window.same = true")
        state(page, "running")
        expect(page.locator(".doing")).to_contain_text(re.compile(r"segment 1 of 3 · step 4 of 5 .*left", re.DOTALL))
        assert 0 < float(page.get_attribute(".doing progress", "value") or 0) < 1
        assert page.locator("#preview").evaluate("(picture) => picture.decode().then(() => picture.naturalWidth)") > 0
    state(page, "done")
    assert page.evaluate("window.same")
    expect(page).to_have_title("SH010: done")
    expect(page.locator(f"#job-{job.id}")).to_contain_text("owner")


def test_a_running_job_is_cancelled_and_tried_again(page: Page, server: Running, send: Send) -> None:
    with server.holding():
        job = send()
        opened(page, job)
        state(page, "running")
        page.click("#cancel")
        state(page, "cancelled")
        assert server.job(job.id).state is JobState.CANCELLED
        page.click("#retry")
        state(page, "running")
        page.click("#pause")
        state(page, "paused")
        page.click("#resume")
        state(page, "running")
        page.click("#cancel")
        state(page, "cancelled")


def test_the_queue_is_held_and_put_into_another_order(page: Page, server: Running, send: Send) -> None:
    page.click("#hold")
    expect(page.locator("#machine")).to_contain_text("The queue is held")
    one, two = send(), send()

    def order(*jobs: Job) -> None:
        for place, job in enumerate(jobs):
            expect(page.locator("#rows .queued").nth(place)).to_have_id(f"job-{job.id}")

    order(one, two)
    page.click(f"#open-{two.id}")
    page.fill("#priority", "7")
    page.press("#priority", "Enter")
    order(two, one)
    expect(page.locator(f"#job-{two.id}")).to_contain_text("priority 7")
    page.click(f"#open-{one.id}")
    page.click("text=Render next")
    order(one, two)
    page.click("#hold")
    assert {server.finished(job.id).state for job in (one, two)} == {JobState.DONE}


def test_names_are_shown_as_they_are_and_never_run(page: Page, server: Running, send: Send) -> None:
    name = """<img src=x onerror="document.title='mine'"><script>document.title='mine'</script>'"&amp;"""
    job = server.finished(send(strip=name).id)
    opened(page, job)
    expect(page.locator("#standing dl")).to_contain_text(name)
    assert page.locator("#standing dl img, #standing script").count() == 0
    expect(page).to_have_title("SH010: done")


def test_a_job_is_removed_only_after_it_was_asked_twice(page: Page, server: Running, send: Send) -> None:
    job = server.finished(send().id)
    opened(page, job)
    expect(page.locator("#remove")).to_be_hidden()
    page.click("#remove-summary")
    page.click("#remove")
    expect(page.locator(f"#job-{job.id}")).to_have_count(0)
    assert server.call("GET", f"/v1/jobs/{job.id}").status_code == 404


def test_what_cannot_be_done_is_a_sentence_on_the_page(page: Page, server: Running, send: Send) -> None:
    job = server.finished(send().id)
    opened(page, job)
    page.click("#remove-summary")
    server.call("POST", f"/v1/jobs/{job.id}/remove")
    page.click("#remove")
    expect(page.locator("#sentence")).to_contain_text("there is no job")
    opened(page, job)
    expect(page.locator("#sentence")).to_contain_text("There is no job")


def test_the_log_of_a_job_tells_what_its_worker_did(page: Page, done: Job) -> None:
    opened(page, done)
    page.click("#log-box summary")
    log = page.locator("#log")
    expect(log).to_contain_text("INFO rendering SH010")
    expect(log).to_contain_text("writing segment 3 of 3")
    assert (log.text_content() or "").rstrip().endswith("INFO done")


# --- the player -----------------------------------------------------------------------------------


def test_the_wipe_shows_the_plate_at_its_left_and_the_comp_at_its_right(page: Page, done: Job, server: Running) -> None:
    opened(page, done)
    page.check("input[value=a]")
    plate = pixels(page)
    page.check("input[value=b]")
    comp = pixels(page)
    left, right = slice(13, 18), slice(21, 26)  # of the person
    assert np.abs(plate[20:30, left].astype(int) - comp[20:30, left]).mean() > 8
    stored = cv2.imread(str(next(server.data.glob(f"jobs/{done.id}/*/e001/plate/1001.png"))))[..., ::-1]
    assert np.abs(plate.astype(int) - stored).mean() < 4, "JPEG, but that plate"

    box = page.locator("#canvas").bounding_box()
    assert box is not None

    def drag(start: float, end: float) -> Pixels:
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] * start / WIDTH, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * end / WIDTH, y, steps=5)
        page.mouse.up()
        return pixels(page)

    wiped = drag(50, 19.5)
    assert (wiped[:, left] == plate[:, left]).all()
    assert (wiped[:, right] == comp[:, right]).all()
    assert (drag(19.5, 60)[:, right] == plate[:, right]).all()


def test_every_layer_can_be_looked_at(page: Page, done: Job) -> None:
    opened(page, done)
    drawn(page)
    assert page.locator("#b option").all_text_contents() == ["plate", "comp", "character"]
    page.check("input[value=b]")
    page.select_option("#b", "character")
    shown = pixels(page)
    assert shown[:, 45:].max() < 12, "nothing of the character is there"
    assert shown[15:35, 14:24].mean() > 20


def test_the_take_plays_at_its_own_rate(page: Page, done: Job) -> None:
    opened(page, done)
    drawn(page)
    for _ in range(12):
        page.press("#canvas", "ArrowRight")
        drawn(page)
    expect(page.locator("#number")).to_have_text("1013")
    page.click("#play")
    moments = page.evaluate("""async () => {
        const found = [], seen = new Set();
        while (seen.size < 8) {  // however seldom this machine draws
            const now = await new Promise(requestAnimationFrame);
            found.push([now, Number(document.getElementById("player").dataset.frame)]);
            seen.add(found.at(-1)[1]);
        }
        return found;
    }""")
    late = [((frame - moments[0][1]) - (now - moments[0][0]) * 24 / SECONDS + 6.5) % 13 - 6.5 for now, frame in moments]
    assert max(map(abs, late)) < 1.5, "every picture is the one that is due"
    page.click("#play")
    held = page.text_content("#number")
    time.sleep(0.2)
    assert page.text_content("#number") == held


def test_the_player_is_used_from_the_keyboard_alone(page: Page, done: Job) -> None:
    page.focus(f"#open-{done.id}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/?job={done.id}")
    drawn(page)
    page.focus("#canvas")
    for key, number in (("End", "1013"), ("ArrowLeft", "1012"), ("Home", "1001"), ("ArrowRight", "1002")):
        page.keyboard.press(key)
        expect(page.locator("#number")).to_have_text(number)
    page.keyboard.press("2")
    expect(page.locator("input[value=b]")).to_be_checked()
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_text("Pause")


def test_a_range_is_made_anew_from_the_player(page: Page, server: Running, done: Job) -> None:
    opened(page, done)
    drawn(page)
    assert (page.input_value("#first"), page.input_value("#last")) == ("1001", "1013")
    page.fill("#first", "1003")
    page.fill("#last", "1099")
    page.click("#retake")
    expect(page.locator("#sentence")).to_contain_text("1001-1013")
    page.fill("#last", "1005")
    page.fill("#seed", "11")
    page.click("#retake")
    page.wait_for_url(re.compile(f"job=(?!{done.id})"))
    state(page, "done")
    expect(page.locator("#standing")).to_contain_text("1003–1005")
    made = server.job(page.url.split("=")[1])
    before, after = server.pictures(done.id), server.pictures(made.id)
    changed = {path.split("/")[1] for path in before if before[path] != after[path]}
    assert changed and changed <= {f"{number}.png" for number in (1003, 1004, 1005)}


def test_scene_linear_frames_are_shown_as_a_person_sees_them(server: Running, tmp_path: Path) -> None:
    folder = make_light(write_export(tmp_path))
    job = server.finished(server.submit(folder).id)
    assert job.state is JobState.DONE, job.message
    session = ways_in(server)
    reel = session.get(f"{server.url}/page/jobs/{job.id}/reel", timeout=ANSWER).json()
    assert list(reel["layers"]) == ["plate", "comp", "character"]
    reply = session.get(f"{server.url}/page/jobs/{job.id}/pictures/{reel['layers']['plate'][4]}", timeout=ANSWER)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "image/jpeg")
    picture = cv2.imdecode(np.frombuffer(reply.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    seen = load(folder).plate(4)
    assert np.abs(picture[12:].astype(int) - seen[12:]).mean() < 4
    assert (picture[1:7].mean(), seen[2:6].mean()) > (250, 250), "the lamp"


# --- everybody ------------------------------------------------------------------------------------


def test_it_is_read_without_scripts(browser: Browser, server: Running, done: Job) -> None:
    with visiting(browser, server, java_script_enabled=False) as context:
        page = come_in(context, server.token)
        page.click(f"#open-{done.id}")
        expect(page.locator("#standing")).to_contain_text("done")
        assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
        pictures = page.locator("#player figure img")
        assert [picture.get_attribute("alt") for picture in pictures.all()] == ["plate", "comp", "character"]
        assert pictures.first.bounding_box() is not None
        page.click("#log-box summary")
        expect(page.locator("#log")).to_contain_text("rendering SH010")


def test_it_fits_a_telephone_and_both_kinds_of_rooms(browser: Browser, server: Running, done: Job) -> None:
    backs = []
    for scheme in ("dark", "light"):
        with visiting(browser, server, viewport={"width": 360, "height": 720}, color_scheme=scheme) as context:
            page = opened(come_in(context, server.token), done)
            drawn(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            backs.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    brightness = [sum(map(int, re.findall(r"\d+", back))) for back in backs]
    assert brightness[0] < 150 < 600 < brightness[1]


def test_an_empty_queue_says_how_it_is_filled_and_under_tls_the_cookie_stays_there(
    browser: Browser, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    safe = serving(tmp_path / "server", "--tls-cert", certificate, "--tls-key", key)
    with safe as fresh, visiting(browser, fresh, ignore_https_errors=True) as context:
        page = come_in(context, fresh.token)
        expect(page.locator("#nothing")).to_contain_text("No job was sent yet")
        expect(page.locator("#open")).to_contain_text("Choose a job")
        assert [cookie["secure"] for cookie in context.cookies()] == [True]
