// Sliding-window attention as kernels.h offers it. Included inside an instruction set's namespace,
// behind attention.h and attention_wide.h.

// A longer tile repeats less of its neighbours; a shorter one stays in the second-level cache. 16 steps are
// a whole number of vectors of every instruction set.
inline int64_t attention_tile(const AttentionArgs& args) {
  return round_up(at_most(at_least(128, 2 * args.radius), args.steps), 16);
}

inline int64_t attention_scratch(const AttentionArgs& args, Pass pass) {
  return with_element_type(args.dtype, [&](auto element) {
    using T = Compute<decltype(element)>;
    const int64_t tile = attention_tile(args);
    switch (pass) {
      case Pass::Forward: return ForwardTile<T>(args, tile, nullptr).space.used;
      case Pass::Backward: return BackwardTile<T>(args, tile, nullptr).space.used;
      default: return WideTile<T>(args, tile, nullptr).space.used;
    }
  });
}

inline void attention(const AttentionArgs& args, Pass pass, Tile tile, void* scratch) {
  with_element_type(args.dtype, [&](auto element) {
    using E = decltype(element);
    const int64_t columns = attention_tile(args);
    switch (pass) {
      case Pass::Forward: return attention_forward_of<E>(args, columns, tile, scratch);
      case Pass::Backward: return attention_backward_of<E>(args, columns, tile, scratch);
      case Pass::GradQuery: return attention_grad_query_of<E>(args, columns, tile, scratch);
      case Pass::GradKeyValue: return attention_grad_key_value_of<E>(args, columns, tile, scratch);
    }
  });
}
