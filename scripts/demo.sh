#!/usr/bin/env bash
# A first search, a few minutes on two cores: builds oche and searches on generated pictures.
# scripts/demo.sh [further options of `oche search`]; the results go to runs/demo.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=runs/demo
scripts/deps.sh
build release >&2

build/release/oche search --dataset patterns --method darts-1st --layers 3 --channels 8 --train-size 4000 --epochs 4 \
  --batch 16 --lr 0.1 --seed 3 --out "$out" --force "$@" >/dev/null

printf '\nThe architecture found (%s/genotype.txt):\n' "$out"
cat "$out/genotype.txt"
for picture in "$out"/*.svg; do
  if [[ -f $picture ]]; then printf 'picture: %s\n' "$picture"; fi
done
printf 'the whole run: %s\n' "$out"
