#!/usr/bin/env bash
# What scripts/gpu-check.sh calls, made up: tests/gpu_check.cmake puts this file in the place of each program, whose name says
# what it is to be. FAKE is the folder of the test.
set -eu
ran() { printf '%s\n' "$1" >>"$FAKE/runs"; }
without_device=''
if [[ ${FAKE_DEVICE:-} == none ]]; then without_device=1; fi

case "${0##*/}" in
  nvidia-smi)
    case "${FAKE_GPU:-}" in
      none) printf 'No devices were found\n'; exit 6 ;;
      error) printf 'NVIDIA-SMI has failed because\nit could not\n'; exit 9 ;;
      other) printf 'Other GPU, 1.2.3, 1024, 9.9\n' ;;
      *) printf 'Sample GPU, 1.2.3, 1024, 9.9\nSample GPU, 1.2.3, 1024, 9.9\n' ;;
    esac
    ;;
  ldd)
    printf '\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tlibshared.so.1 => %s/libshared.so.1 (0x1)\n' "$FAKE"
    printf '\tliboche_kernels.so => %s/build/lib/liboche_kernels.so (0x1)\n' "$FAKE"
    if [[ -n ${FAKE_MISSING:-} ]]; then printf '\tlibgone.so.2 => not found\n'; fi
    ;;
  quick)
    ran quick
    [[ ${OCHE_TEST_DEVICE:-} == cuda ]]
    [[ -z ${FAKE_LIBRARY_PATH:-} || :$LD_LIBRARY_PATH: == *:$FAKE_LIBRARY_PATH:* ]]
    printf 'All tests passed (34 assertions in 12 test cases)\n'
    ;;
  failing)
    [[ $A == 1 ]]
    printf 'test cases:  5 |  3 passed |  2 failed\nassertions: 40 | 38 passed |  2 failed\n'
    exit 2
    ;;
  skipping)
    for _ in 1 2 3 4 5 6 7 8 9; do printf '  skipped: no CUDA device\n'; done
    printf 'All tests passed (3 assertions in 12 test cases)\n'
    ;;
  slow)
    if [[ -n ${FAKE_HANG:-} ]]; then printf '%d\n' $$ >"$FAKE/hanging"; sleep 60; fi
    ran slow
    case $(cat "$FAKE/slow" 2>/dev/null || true) in
      '') printf 1 >"$FAKE/slow"; sleep 3 ;;
      1) printf 2 >"$FAKE/slow"; sleep 60 ;;
    esac
    printf 'All tests passed (1 assertion in 1 test case)\n'
    ;;
  kernels)
    case "$*" in
      '-# --list-tags') printf 'All available tags:\n   8  [#test_a]\n  12  [#test_b]\n  20  [cuda]\n3 tags\n' ;;
      *) printf 'All tests passed (20 assertions in 8 test cases)\n' ;;
    esac
    ;;
  compute-sanitizer)
    [[ $1 == --tool ]]
    tool=$2
    printf '========= COMPUTE-SANITIZER\n'
    while [[ $1 != */kernels ]]; do shift; done
    "$@"
    case "$tool $3" in
      'racecheck [#test_b]')
        printf '========= Race reported between writes\n=========     at somewhere\n'
        printf '========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n'
        exit 86
        ;;
      racecheck*) printf '========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n' ;;
      *) printf '========= ERROR SUMMARY: 0 errors\n' ;;
    esac
    ;;
  fake-python)
    case "$*" in
      *'import sys, torch'*) ;;
      *find_spec*) printf '\n' ;;
      *)
        while [[ $1 != --mode ]]; do
          if [[ $1 == --order ]]; then order=$2; fi
          shift
        done
        case "$2" in
          eager) printf 'Traceback\n  File "%s/x.py"\nRuntimeError: no kernel in %s/cache/y.so\n' "$FAKE" "$FAKE" >&2; exit 1 ;;
          graph+tf32) ms=5 ;;
          graph) ms=6 ;;
          *) ms=8 ;;
        esac
        times=$(printf '{"median": %d, "min": 1, "max": 9}' "$ms")
        if [[ -z ${order:-} ]]; then 
          times=$(printf '{"skip_connect 16@32x32": %s, "skip_connect 32@16x16": %s, "skip_connect 64@8x8": %s}' \
            "${times/6/8}" "$times" "$times")
        fi
        printf '{"ms": %s, "torch": "0.0", "peak_rss_mib": 1, "peak_device_mib": 60}\n' "$times"
        ;;
    esac
    ;;
  oche)
    case "$*" in
      --version) printf 'oche 0.1.0 (%s)\ncompiler none\n' "${FAKE_REVISION:-0123456789ab}" ;;
      *--dry-run)
        if [[ -n $without_device ]]; then
          printf 'oche: --device cuda: this build has no CUDA back end; use --device cpu\n' >&2
          exit 4
        fi
        ;;
      *)
        [[ "$*" == *'--device cuda'* ]]
        if [[ "$*" != *--resume* && "$*" != *"--data $FAKE/data "* ]]; then
          printf 'oche: cifar10: missing\n' >&2
          exit 3
        fi
        ran search
        run=$FAKE/out/search/run
        mkdir -p "$run/ckpt"
        columns=epoch,train_loss,search_loss,train_accuracy,search_accuracy,discrete_accuracy,seconds,images_per_second
        printf '%s\r\n1,2.5,2.5,0.5,0.5,0.1,13.5,1999\r\n' "$columns" >"$run/metrics.csv"
        if [[ "$*" != *--resume* ]]; then
          sleep 60 &
          trap 'touch "$run/ckpt/step-1.safetensors"; kill "$!"; exit 143' TERM
          wait
        fi
        printf '2,2,2,0.5,0.5,0.1,12.5,2000\r\n' >>"$run/metrics.csv"
        printf '{"steps": 8, "train_accuracy": 0.5, "search_accuracy": 0.25, "discrete_accuracy": 0.1,
                 "genotype_text": "Genotype()", "run_directory": "%s"}\n' "$run"
        ;;
    esac
    ;;
  oche-bench)
    if [[ -n $without_device ]]; then
      printf "oche: bench: unknown option '--device'; see oche bench --help\n" >&2
      exit 2
    fi
    if [[ $1 == --list ]]; then
      printf 'copy/n:1\ncopy/n:2\nexp/n:1\ngemm/m:1\nsearch_step/layers:8\nonednn/gemm/m:1\n' | grep -E -- "${*: -1}"
      exit
    fi
    out='' rows='' roof=1000
    while [[ $# -gt 0 ]]; do
      case "$1" in
        --out) out=$2; shift ;;
        exp/*) roof=2000 rows+=" $1" ;;
        */*) rows+=" $1" ;;
      esac
      shift
    done
    {
      printf '{"schema": 1, "kind": "oche-bench", "date": "never", "revision": "0123456789ab", "dtype": "f32",
               "roofs": {"bytes_per_second": %d, "flops_per_second": 1}, "rows": [' "$roof"
      separator=''
      for row in $rows; do
        passed=true
        if [[ $row == gemm/* ]]; then passed=false; fi
        printf '%s{"row": "%s", "check": {"passed": %s}, "peak_tensor_bytes": 20971520' "$separator" "$row" "$passed"
        if $passed; then
          printf ', "seconds": {"median": 0.002}, "bytes_per_second": 1e9, "flops_per_second": 1e9,
                   "percent_of_bandwidth": 50, "percent_of_peak": 5, "bound": "bandwidth"'
        fi
        printf '}'
        separator=,
      done
      printf ']}\n'
    } >"${out:-/dev/stdout}"
    if [[ $rows == *gemm/* ]]; then exit 7; fi
    ;;
esac
