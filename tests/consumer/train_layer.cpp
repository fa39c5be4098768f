// A small network with one of fovea's layers between torch's own, trained for one step.
#include <fovea/modules/channel/squeeze_excite.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/optim/sgd.h>

#include <cstdio>

int main() {
  torch::manual_seed(0);
  torch::nn::Sequential network(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 32, 3).padding(1)),
                                fovea::SqueezeExcite({.channels = 32}),
                                torch::nn::Conv2d(torch::nn::Conv2dOptions(32, 1, 1)));
  torch::optim::SGD optimizer(network->parameters(), 0.1);
  const auto images = torch::rand({4, 3, 16, 16});
  const auto target = images.mean(1, true);

  const auto loss = [&] { return (network->forward(images) - target).square().mean(); };
  const auto before = loss();
  before.backward();
  optimizer.step();
  const auto after = loss();
  std::printf("loss %.6f -> %.6f\n", before.item<double>(), after.item<double>());
  return after.item<double>() < before.item<double>() ? 0 : 1;
}
