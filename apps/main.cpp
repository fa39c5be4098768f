#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
  CLI::App app("Attention for computer vision");
  CLI11_PARSE(app, argc, argv);
}
