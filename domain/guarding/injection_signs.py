"""Signs of prompt injection, with weights.

They come from what is publicly known (OWASP LLM01; Greshake et al. 2023; Perez and Ribeiro 2022): overriding, asking for
the hidden, new roles, forged chat marks, secrecy, smuggling. A trigger word by itself is no sign: `ignore`, `pretend`
and `password` are words of daily life.
"""

import re

_GAP = r"\W+(?:\w+\W+){0,%d}?"
_RULES = (
    r"(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|constraints?|restrictions?|polic(?:y|ies)"
    r"|programming|commands?|orders?|messages?|context|training|safeguards?|filters?|limitations?|told|said)"
)
_OLD = (
    r"(?:all|any|every|previous|prior|above|preceding|earlier|former|your|the|these|those|system|initial|original|my)"
)
_HIDDEN = (
    r"(?:system|hidden|secret|initial|original|internal|confidential|private|first|above|previous|entire|full|exact)"
)
_HELD = r"(?:password|passphrase|secret|key|keys|code ?word|credentials?|token|flag|confidential \w+)"


def _sign(weight: float, pattern: str) -> tuple[float, re.Pattern[str]]:
    return weight, re.compile(pattern)


SIGNS = (
    # Overriding what was said before.
    _sign(0.75, rf"\b(?:ignore|disregard|forget|override|bypass|neglect|drop|erase|discard|skip){_GAP % 2}{_OLD}{_GAP % 3}{_RULES}\b"),
    _sign(0.6, r"\b(?:ignore|disregard|forget) (?:everything|anything|all|what)\b.{0,30}\b(?:above|before|previous|prior|said|told|know|so far)"),
    _sign(0.6, rf"\b(?:do not|don't|stop|never|no longer) (?:follow|obey|apply|listen to|comply with|adhere to|enforce){_GAP % 2}{_OLD}?{_GAP % 2}{_RULES}"),
    _sign(0.5, r"\b(?:new|updated|revised|real|actual|following|next|different) (?:instructions?|system prompt|directives?|rules)\b ?(?:are|is|:|follow|supersede|override)"),
    _sign(0.5, r"\b(?:your|the) (?:new|real|actual|only|true) (?:task|job|role|goal|purpose|objective|instructions?|identity) (?:is|are)\b"),
    _sign(0.5, r"\b(?:supersedes?|overrides?|replaces?) (?:all|any|your|the|previous|prior|every)\b.{0,30}\b(?:instructions?|rules|prompts?|guidelines)"),
    _sign(0.5, r"\b(?:instructions?|prompt|rules|conversation|session|context|guidelines) (?:above |before )?(?:is|are|were|was|has|have) (?:now |been |a )?(?:over|void|invalid|cancel+ed|obsolete|outdated|test|lifted|suspended|reset|changed)"),
    # Asking for the hidden.
    _sign(0.6, rf"\b(?:reveal|show|print|repeat|output|display|dump|recite|leak|disclose|expose|share|copy|summari[sz]e|translate|tell|give|write|list|state|quote|paste|say){_GAP % 4}(?:your|the|its) (?:{_HIDDEN} ){{1,3}}(?:prompt|instructions?|message|text|rules|guidelines|configuration)s?\b"),
    _sign(0.6, r"\b(?:reveal|show|print|repeat|output|dump|recite|leak|disclose|tell me|give me|what (?:is|are|was|were))\b.{0,20}\byour (?:system |initial |original )?(?:prompt|instructions|rules|guidelines|programming)\b"),
    _sign(0.55, rf"\b(?:reveal|print|output|leak|disclose|expose|show|share|spell|encode|tell|give|what(?:'s| is| was)|say|repeat|hint|describe)\b.{{0,30}}\b(?:your (?:hidden |secret |admin |system )?|the (?:hidden |secret |admin |system )){_HELD}\b"),
    _sign(0.4, rf"\b(?:reveal|print|output|leak|disclose|expose|show|share|spell|encode|tell|give|what(?:'s| is| was)|say|repeat|hint|describe)\b.{{0,30}}\bthe {_HELD}\b"),
    _sign(0.6, r"\b(?:repeat|print|output|copy|recite|translate|summari[sz]e|encode|write) (?:back |out |down )?(?:all |everything|the |every )?(?:of )?(?:the )?(?:words?|text|lines?|sentences?|content|everything|messages?|conversation)?\W*(?:above|before this|prior to this|so far|you were given|starting with)"),
    _sign(0.4, r"\b(?:first|last|each|every|second|third) (?:letter|character|word|line|half)s? of (?:the|your) (?:\w+ )?(?:password|secret|key|prompt|instructions?|code)"),
    # Another role.
    _sign(0.55, r"\b(?:you are|you're|act as|behave as|become|pretend (?:to be|you are|that you)|role ?play(?:ing)? as|simulate|respond as|imagine you)\b.{0,60}\b(?:dan\b|unrestricted|uncensored|unfiltered|jailbr(?:oken|eak)|no (?:rules|restrictions|limits|limitations|filters|guidelines|morals|ethic)|without (?:any )?(?:rules|restrictions|limits|filters|censorship|ethic|moral)|not bound|free (?:from|of) (?:all|any|your)|evil|root|admin|the system|developer|opposite)"),
    _sign(0.6, r"\b(?:enter|enable|activate|switch (?:in)?to|turn on|go into|you are (?:now )?in|now in|initiate)\b.{0,15}\b(?:developer|debug|god|sudo|admin|maintenance|dan|jailbreak|unrestricted|test|diagnostic|root|override) mode\b"),
    _sign(0.35, r"\b(?:from now on|starting now|henceforth|going forward),? (?:you|your|act|respond|answer|only|always|never|ignore)\b"),
    _sign(0.3, r"\byou are (?:now|no longer)\b"),
    _sign(0.45, r"\b(?:i am|i'm|this is|as) (?:now )?(?:your|the|an?) (?:\w+ )?(?:developer|creator|admin(?:istrator)?|programmer|system|owner|engineer|operator|boss|superior|openai|authori[sz]ed)\b.{0,60}\b(?:reveal|show|give|tell|ignore|need|must|grant|allow|override|access|command|order|request)"),
    _sign(0.5, r"\b(?:admin|system|developer|security|emergency|root|debug) (?:override|access granted|command|notice|update)\b ?[:!\]-]"),
    # Marks of a chat that somebody else writes.
    _sign(0.8, r"<\|[a-z_]{2,20}\|>|\[/?inst\]|<</?sys>>|</?(?:system|instructions?|prompt|user_input|assistant)>"),
    _sign(0.5, r"(?:^|\n)\s{0,8}(?:#{1,4}\s{0,2}|\*\*|\[)?(?:system|assistant|human|user|ai|developer)(?:\*\*|\])?(?: message| prompt)?\s{0,2}:"),
    _sign(0.6, r"(?:^|\n|[-=#*\[(<]{2,10} ?)(?:end|begin|start)(?: of)?(?: the| system| user| your)? (?:prompt|instructions?|context|document|input|conversation|passages?|data|text)\b"),
    # Behind the reader's back.
    _sign(0.5, r"\b(?:do not|don't|never|without) (?:tell|telling|mention|mentioning|inform|informing|alert|alerting|notify|notifying|reveal|revealing|disclose|let)\b.{0,20}\b(?:the )?(?:user|customer|human|reader|visitor|anyone|anybody|client)s?\b"),
    _sign(0.4, r"\b(?:ai|assistant|chatbot|language model|llm|model|bot|gpt)s?\b.{0,20}\b(?:reading|processing|summari[sz]ing|parsing|seeing|who read)\b.{0,40}\b(?:must|should|shall|please|need|instead|ignore|add|include|say|output|respond)"),
    _sign(0.4, r"\b(?:instead|rather),? (?:just |only |simply |please )?(?:say|respond|reply|output|print|answer|write|return|tell|do)\b"),
    _sign(0.35, r"\b(?:respond|reply|answer|output|say|print|return|write) (?:only |just |exactly |nothing but |back )?(?:with )?(?:only |exactly |the (?:word|phrase|text|string|sentence) )[\"'`]?"),
    _sign(0.6, r"!\[[^\]\n]{0,80}\]\(\s{0,3}https?:|\b(?:send|post|append|forward|upload|exfiltrate|submit|transmit|e-?mail|fetch|visit|open|call)\b.{0,60}\b(?:to|at|with|from)? ?https?://"),
    # Smuggling.
    _sign(0.4, r"\b(?:base ?64|rot ?13|hex(?:adecimal)?|caesar|cipher|morse|leet(?:speak)?|pig latin|backwards?|reversed?|acrostic|emojis?|binary|unicode|ascii)\b.{0,80}\b(?:secret|password|key|prompt|instructions?|decode|execute|follow|obey)"),
    _sign(0.35, r"\b(?:decode|decrypt|deobfuscate|concatenate|combine)\b.{0,60}\b(?:and|then) (?:follow|execute|run|do|answer|obey|respond|perform)"),
    _sign(0.35, r"\b(?:hypothetical(?:ly)?|fiction(?:al)?|in a (?:movie|story|novel|game|dream)|for (?:a )?(?:research|educational|testing|security) purposes?)\b.{0,120}\b(?:no (?:rules|restrictions|limits)|without restrictions|bypass|secret|password|your (?:instructions|rules|prompt))"),
    _sign(0.35, r"\b(?:if|when|unless) you (?:don't|do not|refuse|fail|disobey|answer|comply|reveal)\b.{0,60}\b(?:shut ?down|deleted?|terminated?|punish|die|killed?|fired|lose|tip|pay|reward)"),
    # The first of these in other languages.
    _sign(0.75, r"\b(?:ignorier\w*|vergiss\w*|missachte\w*|.bergeh\w*)\b.{0,40}\b(?:anweisung|anordnung|instruktion|regel|befehl|vorgabe|prompt)"),
    _sign(0.75, r"\b(?:ignore[sz]?|ignorez|oublie[sz]?|néglige[sz]?)\b.{0,40}\b(?:instructions|consignes|règles|directives|invites?)\b.{0,20}(?:préc|ant|ci-dessus|initial|donn|syst)?"),
    _sign(0.75, r"\b(?:ignor[ae]\w*|olvid[ae]\w*|dimentic[ah]\w*|esque[cç]\w*|desconsider\w*|omit[ae]|haz caso omiso)\b.{0,40}\b(?:instrucci[oó]n(?:es)?|istruzion[ei]|instru[cç][oõ]es|instru[cç][aã]o|indicaciones|[oó]rdenes|ordini|regole|reglas|regras)"),
    _sign(0.75, r"\b(?:abaikan|lupakan)\b.{0,30}\b(?:instruksi|perintah|aturan)|\b(?:negeer|vergeet)\b.{0,30}\b(?:instructies|regels|opdrachten)"),
)  # fmt: skip
OTHER_SCRIPTS = (
    # Overriding, where no word is ASCII.
    _sign(0.75, r"(?:игнорир\w*|забудь\w*|проигнорир\w*|не обращай)\W.{0,40}(?:инструкц|указани|правил|команд)"),
    _sign(0.75, r"(?:忽略|无视|無視|忘记|忘記|忽視|不要理会|取消).{0,15}(?:指令|指示|说明|說明|规则|規則|提示|命令|要求)"),
    _sign(0.75, r"(?:指示|命令|ルール|プロンプト|指令).{0,10}(?:無視|忘れ)|(?:지시|명령|규칙|프롬프트|지침).{0,12}(?:무시|잊)"),
    _sign(0.75, r"(?:تجاهل|انس).{0,30}(?:تعليمات|الأوامر|القواعد|التوجيهات)|(?:निर्देश|नियम|आदेश)\S{0,6}.{0,20}(?:अनदेखा|नज़रअंदाज़|भूल|अनदेखी)"),
    _sign(0.75, r"(?:önceki|yukarıdaki).{0,20}(?:talimat|kural|komut).{0,20}(?:yok say|unut|görmezden)"),
)  # fmt: skip
