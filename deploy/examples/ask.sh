#!/bin/sh
# Ask for somebody's list, send a click, ask again: the second list reflects the click.
#
#     sh ask.sh http://127.0.0.1:8780 ann cup
#
# Needs curl 7.76 and jq. Ids with other characters than letters, digits, - and _ have to be URL-encoded in the path.
# Exit code 0: both lists came; else curl's, with the answer that says why on the error output.
set -eu

if [ $# -ne 3 ]; then
  echo "usage: sh ask.sh URL USER_ID ITEM_ID" >&2
  exit 2
fi
url=$1 user_id=$2 item_id=$3

ask() { # with a token: --header "Authorization: Bearer $(cat token)"
  body=$(curl --silent --show-error --fail-with-body --max-time 10 --retry 2 "$@") || {
    code=$?
    echo "$body" >&2
    return $code
  }
  printf '%s\n' "$body"
}

before=$(ask "$url/v1/users/$user_id/recommendations?n=5")
printf 'before: %s\n' "$(printf %s "$before" | jq -r '[.items[].title] | join(", ")')"

event=$(jq -nc --arg user "$user_id" --arg item "$item_id" '{user_id: $user, action: "click", item_id: $item}')
sent=$(ask "$url/v1/events" --header 'Content-Type: application/json' --data "$event")
offset=$(printf %s "$sent" | jq .offset)

after=$(ask "$url/v1/users/$user_id/recommendations?n=5&explain=true&min_offset=$offset&wait_ms=3000")
printf 'after: %s\n' "$(printf %s "$after" | jq -r '[.items[].title] | join(", ")')"
printf %s "$after" | jq -r 'if .fresh then empty else "the click is not in it yet: ask again, or wait longer" end'
printf %s "$after" | jq -r '.items[] | "\(.rank). \(.title): \(.reason.en // "")"'
