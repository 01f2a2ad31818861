// A library with the name of another, and one of its functions.
extern "C" int cublasCreate_v2() {
  return 0;
}
extern "C" int cudnnCreate() {
  return 0;
}
