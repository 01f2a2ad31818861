// CUDA graphs by capturing a stream.
#include "kernels/cuda/graph.h"

#include <cuda_runtime_api.h>

#include <cstdio>

#include "kernels/cuda/check.h"

namespace oche::kernels::cuda {

Graph::~Graph() {
  if (const cudaError_t code = cudaGraphExecDestroy(graph_); code != cudaSuccess) {
    std::fprintf(stderr, "cudaGraphExecDestroy: %s\n", cudaGetErrorString(code));
  }
}

void Graph::launch(CudaContext& ctx) const {
  CUDA_CHECK(cudaGraphLaunch(graph_, ctx.stream()));
}

// Only this thread's calls are watched: others may go on to load the next images.
GraphRecorder::GraphRecorder(CudaContext& ctx) : ctx_(ctx) {
  CUDA_CHECK(cudaStreamBeginCapture(ctx.stream(), cudaStreamCaptureModeThreadLocal));
}

GraphRecorder::~GraphRecorder() {
  if (!is_open_) return;
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(ctx_.stream(), &graph);  // an error of the work is on its way already
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();
}

std::unique_ptr<Graph> GraphRecorder::finish() {
  is_open_ = false;
  cudaGraph_t graph = nullptr;
  CUDA_CHECK(cudaStreamEndCapture(ctx_.stream(), &graph));
  cudaGraphExec_t executable = nullptr;
  size_t launches = 0;
  cudaError_t code = cudaGraphGetNodes(graph, nullptr, &launches);
  if (code == cudaSuccess) code = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  CUDA_CHECK(code);
  return std::make_unique<Graph>(executable, launches);
}

}  // namespace oche::kernels::cuda
