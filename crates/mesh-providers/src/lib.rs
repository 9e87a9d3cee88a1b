//! Model providers behind the ChatModel trait of mesh-model.
