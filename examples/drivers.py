"""Serves the queue `drivers` of drivers.yaml: takes one task at a time, does it, answers."""

import json
import os
import time
import urllib.error
import urllib.request

SERVER = os.environ.get("EVERLOOP_SERVER", "http://127.0.0.1:7400")
NAMESPACE = os.environ.get("EVERLOOP_NAMESPACE", "default")


def post(path, body):
    headers = {"Content-Type": "application/json"}
    if "EVERLOOP_TOKEN" in os.environ:
        headers["Authorization"] = "Bearer " + os.environ["EVERLOOP_TOKEN"]
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def deliver(order):
    if not order["zip"].isdigit():
        return None
    return {"driver": "Grace", "minutes": 12}


while True:
    try:
        polled = post(f"/v1/namespaces/{NAMESPACE}/queues/drivers/poll", {"max": 1, "wait": "20s"})
        for task in polled["tasks"]:
            print(f"{task['run']}: {task['name']}, attempt {task['attempt']}: {task['argument']}", flush=True)
            result = deliver(task["argument"])
            if result is None:
                problem = {"type": "UnknownAddress", "message": "no such zip code", "retryable": False}
                post(f"/v1/activities/{task['token']}/fail", problem)
            else:
                post(f"/v1/activities/{task['token']}/complete", result)
    except (urllib.error.URLError, TimeoutError) as error:
        print(f"{error}; trying again", flush=True)
        time.sleep(1)
