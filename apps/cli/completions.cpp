// completions: scripts that let a shell complete verbs and flags.
#include <iostream>

#include "apps/cli/verbs.h"

namespace inference::cli {
namespace {

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
  return out;
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    out.push_back(verb->get_name());
  return out;
}

void bash(const CLI::App& app) {
  std::cout << "_inference() {\n  local current=\"${COMP_WORDS[COMP_CWORD]}\" "
               "verb=\"${COMP_WORDS[1]}\" words=\"\"\n"
               "  if [ \"$COMP_CWORD\" = 1 ]; then\n    words=\""
            << join(verbs_of(app)) << "\"\n  else\n    case \"$verb\" in\n";
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    std::cout << "      " << verb->get_name() << ") words=\"" << join(flags_of(*verb)) << "\" ;;\n";
  std::cout
      << "    esac\n  fi\n  if [ \"$COMP_CWORD\" -gt 1 ] && [ \"${current:0:1}\" != - ]; then\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n  else\n    COMPREPLY=($(compgen -W "
         "\"$words\" -- \"$current\"))\n  fi\n}\n"
         "complete -o filenames -F _inference inference\n";
}

void zsh(const CLI::App& app) {
  std::cout << "#compdef inference\nautoload -U +X bashcompinit && bashcompinit\n";
  bash(app);
}

void fish(const CLI::App& app) {
  std::cout << "complete -c inference -n __fish_use_subcommand -f -a '" << join(verbs_of(app))
            << "'\n";
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    for (const CLI::Option* option : verb->get_options())
      for (const std::string& name : option->get_lnames())
        std::cout << "complete -c inference -n '__fish_seen_subcommand_from " << verb->get_name()
                  << "' -l " << name << "\n";
}

}  // namespace

void add_completions(const Program& program) {
  auto* verb = program.app.add_subcommand("completions", "prints a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  verb->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->callback([=, &app = program.app, &action = program.action] {
    action = [=, &app] {
      if (*shell == "bash") bash(app);
      if (*shell == "zsh") zsh(app);
      if (*shell == "fish") fish(app);
      return kDone;
    };
  });
}

}  // namespace inference::cli
