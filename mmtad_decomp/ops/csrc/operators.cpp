// Everything that needs torch/library.h, as one translation unit. Parsing torch's headers takes most
// of the time to compile each of these files, so setup.py compiles them together.
#include "ops.cpp"

#include "autograd/autograd.cpp"
#include "cpu/local_attention.cpp"
#include "cpu/local_attentive_fusion.cpp"
#include "cpu/nms.cpp"
#include "cpu/nms_bins.cpp"
#include "cpu/soft_nms.cpp"
#include "cpu/voting.cpp"
#ifdef MMTAD_WITH_CUDA
#include "cuda/registration.cpp"
#endif
