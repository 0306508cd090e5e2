"""A thread that parses requests, and others that answer and drop them: pipeline.py REQUESTS WORKERS. Prints a checksum.

What one thread allocates is freed by another; recorded for the replayed traces.
"""
import json
import queue
import random
import sys
import threading


def request(number):
    numbers = random.Random(number)
    items = [{"id": numbers.randrange(10 ** 9), "name": "item " * numbers.randrange(1, 6),
              "prices": [numbers.random() for _ in range(numbers.randrange(12))]} for _ in range(numbers.randrange(5, 60))]
    return json.dumps({"request": number, "items": items})


def answer(document):
    by_price = sorted(document["items"], key=lambda item: sum(item["prices"]))
    text = ";".join(f"{item['name'].strip().upper()}={sum(item['prices']):.3f}" for item in by_price)
    return len(text) + len(set(text.split(";")))


def main():
    waiting, answers = queue.Queue(200), []

    def answering():
        total = 0
        while (document := waiting.get()) is not None:
            total += answer(document)
        answers.append(total)

    workers = [threading.Thread(target=answering) for _ in range(int(sys.argv[2]))]
    for worker in workers:
        worker.start()
    for number in range(int(sys.argv[1])):
        waiting.put(json.loads(request(number)))
    for _ in workers:
        waiting.put(None)
    for worker in workers:
        worker.join()
    print(sum(answers))


if __name__ == "__main__":
    main()
