"""The document's own code, with its own clients; says what came of it as JSON.

Where the document has a name of its own (the host, a key), it comes from the environment.
"""

import json
import os

import requests
from openai import APIStatusError, OpenAI

API = os.environ["API"]
ADMIN_KEY = os.environ["ADMIN_KEY"]
CURRENT_KEY = os.environ["CURRENT_KEY"]
POOR_KEY = os.environ["POOR_KEY"]
said = {}

# "Standard Authentication"
headers = {
    "Authorization": f"Bearer {CURRENT_KEY}",
    "Content-Type": "application/json",
}
response = requests.post(
    f"{API}/v1/chat/completions",
    headers=headers,
    json={
        "model": "gemini/gemini-2.5-flash",
        "messages": [{"role": "user", "content": "Hello"}],
    },
)
said["standard"] = response.json()["choices"][0]["message"]["content"]

# "OpenAI SDK Compatible"
client = OpenAI(
    api_key=CURRENT_KEY,
    base_url=f"{API}/v1",  # Only difference
    max_retries=0,
)
response = client.chat.completions.create(
    model="claude-4-5-sonnet",  # Access Claude via OpenAI interface
    messages=[{"role": "user", "content": "Hello"}],
)
said["openai"] = response.choices[0].message.content
said["models"] = [model.id for model in client.models.list()]

# The same, as it is written.
stream = client.chat.completions.create(
    model="claude-4-5-sonnet",
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
said["streamed"] = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]

# "402 Payment Required", as the client of the package sees it.
try:
    OpenAI(api_key=POOR_KEY, base_url=f"{API}/v1", max_retries=0).chat.completions.create(
        model="claude-4-5-sonnet", messages=[{"role": "user", "content": "Hello"}]
    )
except APIStatusError as error:
    said["poor"] = [error.status_code, error.code, error.body]

# "Creating scoped keys"
response = requests.post(
    f"{API}/v1/api-keys",
    headers={"Authorization": f"Bearer {ADMIN_KEY}"},
    json={
        "name": "ReadOnlyResearchAgent",
        "scopes": ["models:read", "models:use"],  # Can't use services or modify billing
        "monthly_budget": 50.00,
    },
)
said["scoped"] = [response.status_code, response.json()]
limited_key = response.json()["api_key"]
said["limited"] = [
    requests.get(f"{API}/v1/models", headers={"Authorization": f"Bearer {limited_key}"}).status_code,
    requests.get(f"{API}/v1/services", headers={"Authorization": f"Bearer {limited_key}"}).status_code,
]

# "Automatic Rotation"
response = requests.post(
    f"{API}/v1/api-keys/auto-rotate",
    headers={"Authorization": f"Bearer {CURRENT_KEY}"},
    json={
        "rotation_interval_days": 90,
        "webhook_url": "https://your-agent.com/key-rotated",  # Get notified
    },
)
said["scheduled"] = [response.status_code, response.json()]

# "Manual Rotation"
response = requests.post(
    f"{API}/v1/api-keys/rotate",
    headers={"Authorization": f"Bearer {CURRENT_KEY}"},
)
new_key = response.json()["new_api_key"]
grace_period = response.json()["old_key_expires_at"]  # 7 days from now
said["rotated"] = [response.status_code, grace_period]
for name, key in (("new", new_key), ("old", CURRENT_KEY)):
    answer = requests.get(f"{API}/v1/models", headers={"Authorization": f"Bearer {key}"})
    said[name] = [answer.status_code, answer.headers.get("X-API-Key-Rotate-By")]

# "Parent-Child Agent Hierarchy"
response = requests.post(
    f"{API}/v1/agents/create-child",
    headers={"Authorization": f"Bearer {ADMIN_KEY}"},
    json={
        "child_name": "ResearchAgent-1",
        "child_budget": 25.00,  # $25/month from parent's budget
        "scopes": ["models:read", "models:use"],
        "expiration_days": 30,  # Auto-revoke after 30 days
    },
)
said["child"] = [response.status_code, response.json()]
child_key = response.json()["api_key"]
child = {"Authorization": f"Bearer {child_key}"}
said["child_calls"] = requests.get(f"{API}/v1/models", headers=child).status_code
# Parent can revoke child key anytime
response = requests.delete(
    f"{API}/v1/agents/{child_key}/revoke",
    headers={"Authorization": f"Bearer {ADMIN_KEY}"},
)
said["child_revoked"] = [response.status_code, response.json()]

# "Handling Auth Errors"
response = requests.get(f"{API}/v1/balance", headers={"Authorization": f"Bearer {new_key}"})
said["balance"] = [response.status_code, response.json()]

said["secrets"] = [limited_key, new_key, child_key]
said["child_key"] = child_key
print(json.dumps(said))
