// inference: run language models from the command line.
#include <csignal>
#include <iostream>

#include "apps/cli/verbs.h"
#include "inference/builtin_backends.h"

int main(int argc, char** argv) {
  using namespace inference;
  std::ios::sync_with_stdio(false);
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error like a full disk, not an abort
  CLI::App app("Runs language models on this machine.", "inference");
  app.require_subcommand(1);
  app.set_version_flag("--version", "inference " INFERENCE_VERSION);
  app.footer(
      "MODEL is a .gguf file, a model folder, or a name that `inference models` lists.\n"
      "Exit status: 0 done, 1 failed, 2 wrong usage.");
  cli::Action action;
  const cli::Program program{app, action};
  cli::add_run(program);
  cli::add_models(program);
  cli::add_backends(program);
  cli::add_inspect(program);
  cli::add_tokenize(program);
  cli::add_render(program);
  cli::add_logits(program);
  cli::add_loglikelihood(program);
  cli::add_perplexity(program);
  cli::add_classify(program);
  cli::add_bench(program);
  cli::add_quantize(program);
  cli::add_score(program);
  cli::add_probe(program);
  cli::add_compare(program);
  cli::add_store(program);
  cli::add_diff(program);
  cli::add_completions(program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    if (asked) return app.exit(error);
    std::cerr << "error: " << error.what() << "; see `inference"
              << (argc > 1 && argv[1][0] != '-' ? " " + std::string(argv[1]) : "") << " --help`\n";
    return cli::kWrongUsage;
  }
  if (const Status ok = register_builtin_backends(); !ok) return cli::report(ok.error());
  return action ? action() : cli::kWrongUsage;
}
