// CUDA graphs: what was launched on a stream, to be launched again at once. No CUDA headers here.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/cuda/context.h"

struct CUgraphExec_st;  // what a cudaGraphExec_t points to

namespace oche::kernels::cuda {

class Graph {
 public:
  Graph(CUgraphExec_st* graph, size_t launches) : graph_(graph), launches_(launches) {}
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // The launches in their order, with the arguments of then.
  void launch(CudaContext&) const;
  size_t launches() const { return launches_; }  // copies and fills among them

 private:
  CUgraphExec_st* graph_;
  size_t launches_;
};

// While one lives, launches and copies on the context's stream are recorded in place of being run;
// what waits for the stream throws.
class GraphRecorder {
 public:
  explicit GraphRecorder(CudaContext&);
  ~GraphRecorder();
  GraphRecorder(const GraphRecorder&) = delete;
  GraphRecorder& operator=(const GraphRecorder&) = delete;

  std::unique_ptr<Graph> finish();

 private:
  CudaContext& ctx_;
  bool is_open_ = true;
};

}  // namespace oche::kernels::cuda
