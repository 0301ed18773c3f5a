// Schemas of the operators. Kernels register themselves beside their definition. `needs` of a backward
// pass: which gradients it computes; the others come back without elements.
#include <torch/library.h>

TORCH_LIBRARY(mmtad_decomp, m) {
  m.def(
      "local_attention(Tensor query, Tensor key, Tensor value, Tensor? mask, int window)"
      " -> (Tensor out, Tensor lse)");
  m.def(
      "local_attention_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor? mask,"
      " Tensor lse, int window, bool[3] needs) -> (Tensor, Tensor, Tensor)");
  m.def(
      "local_attentive_fusion(Tensor value, Tensor query, Tensor key, Tensor? mask, int? window,"
      " bool residual) -> Tensor");
  m.def(
      "local_attentive_fusion_backward(Tensor grad, Tensor value, Tensor query, Tensor key,"
      " Tensor? mask, int? window, bool residual, bool[3] needs) -> (Tensor, Tensor, Tensor)");
  m.def("nms_1d(Tensor segments, Tensor scores, Tensor labels, float iou_thr, int max_out) -> Tensor");
  m.def(
      "soft_nms_1d(Tensor segments, Tensor scores, Tensor labels, str method, float sigma,"
      " float iou_thr, float min_score, int max_out) -> (Tensor rows, Tensor scores)");
  m.def(
      "segment_voting(Tensor kept_segments, Tensor kept_labels, Tensor segments, Tensor scores,"
      " Tensor labels, float iou_thr) -> Tensor");
}
