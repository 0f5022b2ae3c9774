import json

from confluent_kafka import Consumer, Producer

producer = Producer({"bootstrap.servers": "127.0.0.1:9092", "partitioner": "murmur2_random"})


def send(topic: str, key: str, record: dict[str, str]) -> None:
    producer.produce(topic, json.dumps(record), key)


for item_id, title in [("cup", "Tea cup"), ("pot", "Tea pot"), ("tray", "Oak tray")]:
    send("interest.items", item_id, {"item_id": item_id, "title": title})
for item_id in ("cup", "pot"):
    send("interest.events", "ann", {"user_id": "ann", "item_id": item_id, "action": "purchase"})
send("interest.events", "bob", {"user_id": "bob", "item_id": "cup", "action": "click"})
producer.flush(10)

consumer = Consumer({"bootstrap.servers": "127.0.0.1:9092", "group.id": "home-page", "auto.offset.reset": "earliest"})
consumer.subscribe(["interest.recommendations"])
lists: dict[str, list[str]] = {}
while not (lists.get("ann") and lists.get("bob")):
    message = consumer.poll(60)
    if message is None:
        raise SystemExit("no answer within 60 s: see penchant doctor")
    answer = json.loads(message.value())
    lists[answer["user_id"]] = [place["item_id"] for place in answer["items"]]
    print(answer["user_id"], lists[answer["user_id"]])
consumer.close()
