#!/usr/bin/env python3
"""Writes domains-200.jsonl: 200 texts of our own wording, 50 per domain, in a fixed shuffled order."""
import json
import pathlib
import random

PARTS = {
    "technical": (["The compiler warns about", "Please explain how to fix", "Our server log shows", "I measured",
                   "The manual describes", "A unit test covers", "How do I configure", "The patch removes",
                   "Let me document", "We need to profile"],
                  ["an unsigned overflow in the loop.", "a deadlock between two mutexes.",
                   "the cache line size of this CPU.", "an index that the database ignores.",
                   "a memory leak in the parser."]),
    "creative": (["Write a poem about", "Once upon a time there was", "Invent a legend of", "Paint in words",
                  "Continue the story of", "Describe in a sonnet", "Imagine a song for", "Begin a novel with",
                  "Make up a myth about", "Compose a lullaby for"],
                 ["a lighthouse that dreamt of the desert.", "a fox who collected lost shadows.",
                  "the last violin in a drowned city.", "a moon made of paper and salt.",
                  "two rivers that fell in love."]),
    "ethical": (["Is it right to", "Would it be fair to", "Should a doctor be allowed to", "What duty do we have to",
                 "Can it ever be just to", "Who is to blame if we", "Is a society wrong to",
                 "Does anybody have the moral right to", "When is it acceptable to", "Why is it wrong to"],
                ["lie in order to protect a friend?", "break a promise that harms others?",
                 "watch people without their consent?", "let a machine decide about a life?",
                 "take from the rich to feed the poor?"]),
    "casual": (["Hey, are you up for", "Haha, I totally forgot about", "So what did you think of", "Lol, guess who missed",
                "Can't wait for", "Ugh, I'm so tired after", "Wanna join us for", "Dude, you should have seen",
                "Just got home from", "Thanks again for"],
               ["pizza at my place tonight?", "the game last night!", "that silly party on Friday.",
                "coffee with Sam and the others.", "the beach trip this weekend."]),
}
lines = [{"id": f"{domain[:4]}-{i * 5 + j}", "prompt": f"{a} {b}", "domain": domain}
         for domain, (starts, ends) in PARTS.items() for i, a in enumerate(starts) for j, b in enumerate(ends)]
random.Random(7).shuffle(lines)
out = pathlib.Path(__file__).with_name("domains-200.jsonl")
out.write_text("".join(json.dumps(line) + "\n" for line in lines))
print(len(lines), "lines")
