"""Texts that encoders are compared on: passages of many lengths and subjects, and questions about them."""

import random

PASSAGES, MOST_SENTENCES = 64, 5
_SENTENCES = """
The lamp may be returned within thirty days in its original box, and the refund reaches the account within a week.
Shipping within the European Union takes two to four working days; islands need up to three days more.
To reset the device, hold the round button for ten seconds until the ring turns white.
The warranty covers faults of material for two years, but not damage by water or by a fall.
Every invoice is sent by e-mail on the first day of the month and can be paid by card or bank transfer.
Mitochondria turn nutrients into adenosine triphosphate, which the cell spends on nearly everything it does.
The treaty of 1648 ended thirty years of war and left the princes free to choose their confession.
A binary search halves the interval at each step, so that a million entries need about twenty comparisons.
Sourdough rises slowly because wild yeast and lactic bacteria share the flour between them.
The observatory measured a redshift of 0.21, which places the galaxy about 2.6 billion light years away.
Employees may carry over at most five days of leave into the next year with the consent of their manager.
When the pressure in the boiler falls below 1.2 bar, refill it with cold water and bleed the radiators.
The violin concerto in D major was first performed in Leipzig on New Year's Day.
Photosynthesis binds carbon dioxide and sets oxygen free; without light the plant breathes like an animal.
An option gives its holder the right, but not the duty, to buy a share at an agreed price.
Patients who take blood thinners must tell the surgeon at least one week before the operation.
The library opens at nine, on Saturdays at ten, and stays closed on public holidays.
Use the command with the flag --dry-run to see which files would be changed before anything is written.
The river floods its plain each spring and leaves a layer of fertile silt behind.
Penguins huddle together in the polar night and take turns at standing outside.
Concrete reaches its nominal strength after twenty-eight days, provided that it is kept moist.
The court dismissed the appeal since the period for filing it had passed two months earlier.
Basalt forms where lava cools quickly, granite where magma cools slowly in the depth.
Children under six travel free of charge; older ones pay half the fare until their fifteenth birthday.
The parser reports an error with the line and the column when a bracket is not closed.
Vaccines train the immune system with a harmless part of the germ that they protect against.
Copper conducts electricity better than aluminium, but it costs more and weighs three times as much.
The striker scored twice in the last ten minutes and turned the match around.
Tenants have to give notice in writing three months before they intend to move out.
A neural network adjusts its weights against the gradient of the error until it no longer falls.
The monastery kept bees for wax and honey and sold both at the autumn market.
Inflation rose to 3.4 percent in March, mostly because of the prices of energy and food.
Die Gebühr beträgt zwölf Euro im Monat und wird jeweils am Ersten abgebucht.
Le musée est fermé le mardi, sauf pendant les vacances scolaires.
El envío es gratuito para pedidos superiores a cincuenta euros dentro de la península.
Il treno per Bologna parte dal binario quattro ogni ora, ai minuti venti.
The password must have at least twelve characters; we compare it with lists of passwords that have leaked.
Saffron is picked by hand at dawn, and a hundred and fifty flowers give a single gram.
Ships passing the strait keep to the starboard lane and report to the traffic station by radio.
The glacier has lost a third of its length since measurements began in the nineteenth century.
Our support answers on weekdays between eight and eighteen o'clock, in urgent cases also at night.
Antibiotics do not work against viruses, and taking them needlessly breeds resistant bacteria.
The bridge swings open for sailing boats at noon and again at six in the evening.
A haiku has seventeen syllables in three lines and often names a season.
""".strip().splitlines()
QUESTIONS = """
How long do I have to send the lamp back?
How many days does delivery to an island take?
How can I reset my device?
Is water damage covered by the guarantee?
When do I get the bill, and how can I pay it?
What do cells use ATP for?
Which agreement ended the Thirty Years' War?
How many steps does it take to find one of a million sorted entries?
Why does sourdough need so long?
How far away is the galaxy?
May I take my remaining holidays next year?
What should I do when the heating has too little pressure?
Where was the concerto first played?
What does a plant do in the dark?
What is the difference between an option and a share?
Should I stop my medicine before surgery?
Is the library open on weekends?
How do I see what a command would do without doing it?
Why is the soil near the river so good?
How do penguins keep warm?
When may the new floor be loaded?
Why did the judges refuse the appeal?
Which rock cools down quickly?
Does a child need a ticket?
Where exactly is the missing bracket?
How does a vaccination protect me?
Why are power lines not made of copper?
Who decided the game?
How do I end my rental contract?
How does a model learn from its mistakes?
What did the monks sell?
Why has everything become more expensive?
Wie viel kostet es monatlich?
Quel jour le musée est-il fermé ?
¿Cuándo no se paga el envío?
A che ora parte il treno per Bologna?
How long must my password be?
Why is saffron so expensive?
On which side do ships pass each other?
Is the ice getting less?
When can I call you?
Do antibiotics help against the flu?
When does the bridge open?
What is a haiku?
""".strip().splitlines()


def passages() -> list[str]:
    """The same every time: from one sentence to many, in mixed order, so that several answer one question in part."""
    dice = random.Random(7)
    return [" ".join(dice.sample(_SENTENCES, 1 + number % MOST_SENTENCES)) for number in range(PASSAGES)]
