// The functions of the CUDA runtime for graphs: what a captured stream is given, run in its order.
#include "tests/cuda_host/graph.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace oche::cuda_host {
namespace {

struct Memory {
  std::vector<void*> blocks;
  ~Memory() {
    for (void* block : blocks) cudaFree(block);
  }
};
struct Work {
  std::vector<std::function<cudaError_t()>> calls;
  std::shared_ptr<Memory> memory = std::make_shared<Memory>();
};

thread_local std::unique_ptr<Work> recording;

}  // namespace

bool recorded(std::function<cudaError_t()> work) {
  if (!recording) return false;
  recording->calls.push_back(std::move(work));
  return true;
}
bool is_recording() {
  return recording != nullptr;
}

void keep_for_graph(void* memory) {
  if (recording) recording->memory->blocks.push_back(memory);
}
bool is_kept_for_graph(void* memory) {
  return !memory || (recording && std::ranges::count(recording->memory->blocks, memory) > 0);
}

}  // namespace oche::cuda_host

using oche::cuda_host::recording;
using oche::cuda_host::Work;

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (recording) return cudaErrorIllegalState;
  recording = std::make_unique<Work>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  if (!recording) return cudaErrorIllegalState;
  *graph = reinterpret_cast<cudaGraph_t>(recording.release());
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = reinterpret_cast<Work*>(graph)->calls.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable,
                                 cudaGraph_t graph,
                                 unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new Work(*reinterpret_cast<Work*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& work : reinterpret_cast<Work*>(executable)->calls) {
    if (const cudaError_t code = work(); code != cudaSuccess) return code;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Work*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete reinterpret_cast<Work*>(executable);
  return cudaSuccess;
}
